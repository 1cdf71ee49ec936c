// Instructions of a warp that C++ has no words for: tensor core products, matrices between shared
// memory and registers, copies that do not wait. Device code, sm_80 and later.
#ifndef WINNOW_KERNELS_CUDA_WARP_INSTRUCTIONS_CUH_
#define WINNOW_KERNELS_CUDA_WARP_INSTRUCTIONS_CUH_

#include <cuda_bf16.h>

#include <cstdint>

namespace winnow::cuda {

// c [16, 8] += a [16, 16] b [16, 8]; warp_matrix.cuh has the layout.
__device__ inline void MultiplyBF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two pairs of 16-bit halves as the pair of their low (high) ones.
__device__ inline uint32_t LowHalves(uint32_t x, uint32_t y) { return __byte_perm(x, y, 0x5410); }
__device__ inline uint32_t HighHalves(uint32_t x, uint32_t y) { return __byte_perm(x, y, 0x7632); }

// Two floats as the sums of two pairs of bf16: x = high + low, within 2^-17 of it.
struct BF16Parts {
  uint32_t high, low;
};
__device__ inline uint32_t PairOf(float x, float y) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(x, y);
  return __bfloat16_as_ushort(pair.x) | uint32_t{__bfloat16_as_ushort(pair.y)} << 16;
}
__device__ inline BF16Parts PartsOf(float x, float y) {
  const uint32_t high = PairOf(x, y);
  return {high, PairOf(x - __uint_as_float(high << 16), y - __uint_as_float(high & 0xffff0000u))};
}

__device__ inline float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline uint32_t AddressInShared(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Four 8 x 8 matrices of 16-bit elements from shared memory: lane l names row l % 8 of matrix l / 8
// and receives of each the pair at row l / 4, columns 2 (l % 4) and on; of the transposed ones in
// the second form.
__device__ inline void LoadMatrices(uint32_t from, uint32_t (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}
__device__ inline void LoadMatricesTransposed(uint32_t from, uint32_t (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}

// 16 bytes to shared memory, zeros where `from` is null, complete after CopiesDone. `valid`: any
// address that may be read.
__device__ inline void CopyAsync(uint32_t to, const void* from, const void* valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to),
               "l"(from == nullptr ? valid : from), "r"(from == nullptr ? 0 : 16)
               : "memory");
}
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// All but the last kGroups committed groups of this thread's copies.
template <int kGroups>
__device__ void CopiesDone() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_WARP_INSTRUCTIONS_CUH_
