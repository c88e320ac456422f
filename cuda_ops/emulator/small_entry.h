// The kernels of ../small.cu for the emulator's library: library.cpp includes this once.
#pragma once

#include "../small.cu"

#pragma GCC visibility push(default)
extern "C" {
const char* emulate_active_blocks(const restore::ActiveBlocks* p) { return restore::active_blocks(*p, nullptr); }
const char* emulate_gather(const restore::GatherTiles* p) { return restore::gather_tiles(*p, nullptr); }
const char* emulate_scatter(const restore::ScatterTiles* p) { return restore::scatter_tiles(*p, nullptr); }
int size_of_active_blocks() { return sizeof(restore::ActiveBlocks); }
int size_of_gather() { return sizeof(restore::GatherTiles); }
int size_of_scatter() { return sizeof(restore::ScatterTiles); }
}
#pragma GCC visibility pop
