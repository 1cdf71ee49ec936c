// What kernels share: element types as floats and back, 16-byte accesses, reductions in a fixed
// order. Device code.
#ifndef WINNOW_KERNELS_CUDA_DEVICE_CUH_
#define WINNOW_KERNELS_CUDA_DEVICE_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/dtype.h"

namespace winnow::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kFullWarp = 0xffffffffu;

// Programmatic dependent launch (CUDA C++ Programming Guide; PTX griddepcontrol). A kernel that
// LaunchEarly (launch.h) launches may be placed before the one ahead of it in the stream is done,
// so that a step of many short kernels does not wait for each launch. Every block calls, before it
// reads or writes memory that another kernel writes or reads, and before it may return:
__device__ inline void WaitForPrevious() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
// Once all blocks have called this, the next kernel's may be placed; they wait likewise.
__device__ inline void LetNextStart() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
// Both, for kernels with nothing to do in between (weights, say, need not be waited for).
__device__ inline void StartAfterPrevious() {
  LetNextStart();
  WaitForPrevious();
}

__device__ inline float AsFloat(float x) { return x; }
__device__ inline float AsFloat(BF16 x) { return __uint_as_float(uint32_t{x.bits} << 16); }
__device__ inline float AsFloat(F16 x) { return __half2float(__ushort_as_half(x.bits)); }

template <typename T>
__device__ T FromFloat(float x);
template <>
__device__ inline float FromFloat<float>(float x) {
  return x;
}
// To nearest, ties to even.
template <>
__device__ inline BF16 FromFloat<BF16>(float x) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
}

// kLanes consecutive elements, moved with one access of up to 16 bytes.
template <typename T, int kLanes>
struct alignas(sizeof(T) * kLanes) Pack {
  T lanes[kLanes];
};

// Elements of T in 16 bytes.
template <typename T>
inline constexpr int kVectorLanes = 16 / static_cast<int>(sizeof(T));

// The sum (maximum) over a warp, in every lane: a butterfly, the same order whatever the warp.
__device__ inline float WarpSum(float x) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(kFullWarp, x, offset);
  }
  return x;
}
__device__ inline float WarpMax(float x) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kFullWarp, x, offset));
  }
  return x;
}

// The sum over a block of whole warps, in every thread. `partials`: kWarpSize floats of shared
// memory, free again for the next call of another buffer only.
__device__ inline float BlockSum(float x, float* partials) {
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  x = WarpSum(x);
  if (lane == 0) partials[warp] = x;
  __syncthreads();
  const int num_warps = blockDim.x / kWarpSize;
  return WarpSum(lane < num_warps ? partials[lane] : 0.0f);
}

__device__ inline float Sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ inline float SiluOf(float x) { return x / (1.0f + expf(-x)); }

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_DEVICE_CUH_
