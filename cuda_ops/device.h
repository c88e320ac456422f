// The hardware operations that the tensor-core kernels use, and nothing else: nvcc gets inline PTX, a host compiler gets
// emulator/device.h, which runs the same kernel source thread by thread and checks every access.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define RESTORE_DEVICE __device__ __forceinline__
#define RESTORE_UNROLL _Pragma("unroll")
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define RESTORE_WGMMA  // compute capability 9.0 alone has these instructions
#endif
#define RESTORE_NO_UNROLL _Pragma("unroll 1")
#define RESTORE_UNROLL_2 _Pragma("unroll 2")

namespace restore {

// Blocks of some 90 KiB of shared memory that a multiprocessor holds at once.  Compute capability 9.0 and 10.x have 228
// KiB of it, 8.0 has 164, 8.6, 8.9 and 12.0 have 100: there one block may take all registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1200
constexpr int kLargeBlocks = 2;
#else
constexpr int kLargeBlocks = 1;
#endif

RESTORE_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char restore_shared[];
  return restore_shared;
}

RESTORE_DEVICE uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// 16 bytes, global -> shared, in the background; only the first `bytes` are read, the rest become zeros.  With
// bytes == 0 `src` is never touched: this is how a hole or a border costs nothing, and can't leak.
RESTORE_DEVICE void copy_async_16(void* dst, const void* src, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(dst)), "l"(src), "r"(bytes)
               : "memory");
}
// What copies have brought may be read by group products; after wait_copies, before the barrier.
RESTORE_DEVICE void show_copies_to_group_products() {
#if defined(RESTORE_WGMMA)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
RESTORE_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until all but the last N groups of this thread have arrived.
template <int N>
RESTORE_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Four 8 x 8 matrices of 16-bit numbers: lane i gives the address of row i % 8 of matrix i / 8.
RESTORE_DEVICE void load_matrix_x4(uint32_t (&r)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(p))
               : "memory");
}
RESTORE_DEVICE void load_shared_16(uint32_t (&r)[4], const void* p) {
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(p))
               : "memory");
}
RESTORE_DEVICE void store_shared_16(void* p, const uint32_t (&v)[4]) {
  *static_cast<uint4*>(p) = make_uint4(v[0], v[1], v[2], v[3]);
}
RESTORE_DEVICE uint8_t load_shared_1(const uint8_t* p) { return *p; }
RESTORE_DEVICE void store_shared_1(uint8_t* p, uint8_t v) { *p = v; }
// Read-only data that many blocks share (weights).
RESTORE_DEVICE void load_global_16(uint32_t (&r)[4], const void* p) {
  const uint4 v = __ldg(static_cast<const uint4*>(p));
  r[0] = v.x, r[1] = v.y, r[2] = v.z, r[3] = v.w;
}
RESTORE_DEVICE void store_global_16(void* p, const uint32_t (&v)[4]) {
  *static_cast<uint4*>(p) = make_uint4(v[0], v[1], v[2], v[3]);
}

RESTORE_DEVICE uint32_t shuffle_xor(uint32_t v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
RESTORE_DEVICE uint32_t ballot(bool v) { return __ballot_sync(0xffffffffu, v); }
RESTORE_DEVICE int count_bits(uint32_t v) { return __popc(v); }
RESTORE_DEVICE void barrier() { __syncthreads(); }

// Storage types.  Two neighbours travel in one register.  Narrowing to fp16 saturates instead of making infinities; NaN
// stays NaN, so that a broken network is noticed.
struct Half {
  static RESTORE_DEVICE uint32_t pack(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
  }
  static RESTORE_DEVICE float number(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
};
struct Bf16 {
  static RESTORE_DEVICE uint32_t pack(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
  static RESTORE_DEVICE float number(uint16_t bits) { return __uint_as_float(uint32_t(bits) << 16); }
};

// d (16 x 8, fp32) += a (16 x 16) * b (16 x 8).  Lane l holds of d: rows l / 4 and l / 4 + 8, columns 2 * (l % 4) and
// the next.
template <class E>
RESTORE_DEVICE void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <>
RESTORE_DEVICE void multiply_add<Half>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
RESTORE_DEVICE void multiply_add<Bf16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#if defined(RESTORE_WGMMA)
// Products of four neighbouring warps at once (a "warpgroup"), in the background: begin, any number of them, send, finish.
// Neither sums nor a may be touched before they are finished.
RESTORE_DEVICE void begin_group_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
RESTORE_DEVICE void send_group_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
RESTORE_DEVICE void finish_group_products() {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}
// b: NOUT filters x 8 channels x 16 bits in shared memory, and the next 8 channels after them.  The descriptor (PTX ISA,
// "Matrix Descriptor"): address, bytes from the one half of k to the other, bytes from 8 filters to the next; in 16s.
template <int NOUT>
RESTORE_DEVICE uint64_t group_matrix(const void* b) {
  return uint64_t(shared_address(b) >> 4 & 0x3fff) | uint64_t(NOUT) << 16 | uint64_t(128 >> 4) << 32;
}
template <class E, int NOUT>
RESTORE_DEVICE void group_multiply_add(float (&d)[NOUT / 8][4], const uint32_t (&a)[4], const void* b);
template <>
RESTORE_DEVICE void group_multiply_add<Half, 16>(float (&d)[2][4], const uint32_t (&a)[4], const void* b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, 1, 1, 1, 0;"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(group_matrix<16>(b)));
}
template <>
RESTORE_DEVICE void group_multiply_add<Bf16, 16>(float (&d)[2][4], const uint32_t (&a)[4], const void* b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, 1, 1, 1, 0;"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(group_matrix<16>(b)));
}
template <>
RESTORE_DEVICE void group_multiply_add<Half, 32>(float (&d)[4][4], const uint32_t (&a)[4], const void* b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19}, %20, 1, 1, 1, 0;"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(group_matrix<32>(b)));
}
template <>
RESTORE_DEVICE void group_multiply_add<Bf16, 32>(float (&d)[4][4], const uint32_t (&a)[4], const void* b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19}, %20, 1, 1, 1, 0;"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(group_matrix<32>(b)));
}
template <>
RESTORE_DEVICE void group_multiply_add<Half, 64>(float (&d)[8][4], const uint32_t (&a)[4], const void* b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, 1, 1, 1, 0;"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(group_matrix<64>(b)));
}
template <>
RESTORE_DEVICE void group_multiply_add<Bf16, 64>(float (&d)[8][4], const uint32_t (&a)[4], const void* b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, 1, 1, 1, 0;"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(group_matrix<64>(b)));
}
#endif

}  // namespace restore
#else
#include "emulator/device.h"
#endif
