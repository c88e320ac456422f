// Starts the kernels of blocks.h and tiles.h.  The only place that checks what they are told.
#include "blocks.h"
#include "tiles.h"

namespace restore {
namespace {

constexpr int kLongestSide = 1 << 29;  // of a result, and the most padding that means anything
constexpr int kMostBlocks = 1 << 30;
constexpr int kMostFeather = 1 << 16;

template <class Kernel>
const char* launch_rows(const typename Kernel::Args& p, void* stream) {
  if (p.count < 0 || p.height < 1 || p.width < 1 || p.channels < 1) return "tiles of no size";
  if (p.shape.height < 1 || p.shape.width < 1 || p.shape.channels < 1) return "an empty picture";
  if (reinterpret_cast<uintptr_t>(p.tiles) % 16 != 0) return "tiles begin at a multiple of 16 bytes";
  if (int64_t(p.count) * p.height > INT32_MAX) return "too many rows of tiles";
  if (Kernel::pieces(p) > INT32_MAX / Kernel::THREADS) return "tiles too wide";
  if (p.count > Kernel::MOST_TILES) return "too many tiles at once";
  return launch<Kernel>(p, Kernel::blocks(p), Kernel::shared_bytes(p), stream);
}

template <template <class, class> class Kernel, class P, class Args>
const char* launch_number(const Args& p, void* stream) {
  switch (p.number) {
    case TileNumber::half: return launch_rows<Kernel<P, Half>>(p, stream);
    case TileNumber::bf16: return launch_rows<Kernel<P, Bf16>>(p, stream);
    default: return launch_rows<Kernel<P, Single>>(p, stream);
  }
}

}  // namespace

const char* active_blocks(const ActiveBlocks& given, void* stream) {
  ActiveBlocks p = given;
  if (p.n < 0 || p.height < 0 || p.width < 0 || p.scale < 1 || p.pad_px < 0) return "a plane of no size";
  if (int64_t(p.height) * p.scale > kLongestSide || int64_t(p.width) * p.scale > kLongestSide) return "a side too long";
  const int64_t per_picture = int64_t(p.rows()) * p.columns();
  if (per_picture > kMostBlocks || p.n * per_picture > kMostBlocks) return "too many blocks";
  p.pad_px = p.pad_px < kLongestSide ? p.pad_px : kLongestSide;
  constexpr int warps = FlagBlocks::THREADS / 32;
  if (const char* error = launch<FlagBlocks>(p, (int64_t(p.blocks()) + warps - 1) / warps, 0, stream)) return error;
  return launch<ListBlocks>(p, 1, ListBlocks::SHARED_BYTES, stream);  // without blocks, too: the count is 0
}

const char* gather_tiles(const GatherTiles& p, void* stream) {
  return p.shape.sixteen_bit ? launch_number<Gather, uint16_t>(p, stream) : launch_number<Gather, uint8_t>(p, stream);
}

const char* scatter_tiles(const ScatterTiles& p, void* stream) {
  if (p.channels < p.shape.channels) return "tiles with fewer channels than the canvas";
  if (p.feather_px < 0 || p.feather_px > kMostFeather) return "feathering of 0 to 65536 pixels";
  return p.shape.sixteen_bit ? launch_number<Scatter, uint16_t>(p, stream) : launch_number<Scatter, uint8_t>(p, stream);
}

}  // namespace restore
