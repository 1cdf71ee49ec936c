#include <algorithm>

#include "kernels/cuda/cast_kernels.h"
#include "kernels/cuda/device.cuh"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;

template <typename From, typename To>
__global__ void CastKernel(const From* in, To* out, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    out[i] = FromFloat<To>(AsFloat(in[i]));
  }
}

template <typename From, typename To>
cudaError_t Cast(const void* in, void* out, int64_t count, cudaStream_t stream) {
  const int64_t blocks = std::min((count + kThreads - 1) / kThreads, kMaxBlocks);
  CastKernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(static_cast<const From*>(in),
                                                                     static_cast<To*>(out), count);
  return cudaGetLastError();
}

template <typename To>
cudaError_t CastTo(const void* in, DType from, void* out, int64_t count, cudaStream_t stream) {
  switch (from) {
    case DType::kF32:
      return Cast<float, To>(in, out, count, stream);
    case DType::kF16:
      return Cast<F16, To>(in, out, count, stream);
    case DType::kBF16:
      return Cast<BF16, To>(in, out, count, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t LaunchCast(const void* in, DType from, void* out, DType to, int64_t count,
                       cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  switch (to) {
    case DType::kF32:
      return CastTo<float>(in, from, out, count, stream);
    case DType::kBF16:
      return CastTo<BF16>(in, from, out, count, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace winnow::cuda
