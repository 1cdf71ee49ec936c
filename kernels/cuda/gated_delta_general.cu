// The recurrent form for any Dk, Dv, alignment and type: S in shared memory, a block per sequence,
// head and 32 columns, lane = column, warps share the rows.
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gated_delta_params.h"
#include "kernels/cuda/gated_delta_rows.cuh"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kCols = kWarpSize;
// Shared memory that a block of Hopper may have at most.
constexpr int64_t kMaxSharedBytes = 227 * 1024;

int64_t SharedBytes(int64_t key_dim) {
  return (key_dim * (kCols + 2) + 2 * kWarps * kCols + 2 * kWarpSize) *
         static_cast<int64_t>(sizeof(float));
}

// Sums of the warps' x, in every warp: x of lane l is added to those of the other warps' lane l.
__device__ float SumOverWarps(float x, float (*partials)[kCols]) {
  partials[threadIdx.x / kWarpSize][threadIdx.x % kWarpSize] = x;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += partials[w][threadIdx.x % kWarpSize];
  return sum;
}

// to = x scale / |x|. Ends with a barrier.
template <typename IO>
__device__ void Normalise(const IO* x, int n, float scale, float* partials, float* to) {
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += kThreads) {
    const float value = AsFloat(x[i]);
    to[i] = value;
    sum += value * value;
  }
  const float factor = scale * NormOf(BlockSum(sum, partials));
  for (int i = threadIdx.x; i < n; i += kThreads) to[i] *= factor;
  __syncthreads();
}

template <typename IO, typename State>
__global__ void __launch_bounds__(kThreads)
    DeltaGeneralKernel(const __grid_constant__ DeltaParams p) {
  extern __shared__ float shared[];
  float* tile = shared;  // [Dk, kCols]
  float* k = tile + int64_t{p.key_dim} * kCols;
  float* q = k + p.key_dim;
  auto* y_partials = reinterpret_cast<float(*)[kCols]>(q + p.key_dim);
  auto* o_partials = y_partials + kWarps;
  float* k_sums = reinterpret_cast<float*>(o_partials + kWarps);
  float* q_sums = k_sums + kWarpSize;

  const DeltaHead<IO> head(p, blockIdx.y);
  const int begin = p.row_offsets[blockIdx.z];
  const int end = p.row_offsets[blockIdx.z + 1];
  if (end - begin < p.least_rows || end - begin > p.most_rows) return;
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int col = blockIdx.x * kCols + lane;
  const bool has_col = col < p.value_dim;
  State* state = head.template state<State>(p.slots[blockIdx.z]) + col;
  for (int i = warp; i < p.key_dim; i += kWarps) {
    tile[i * kCols + lane] = has_col ? AsFloat(state[int64_t{i} * p.value_dim]) : 0.0f;
  }

  const float query_scale = 1.0f / sqrtf(static_cast<float>(p.key_dim));
  for (int row = begin; row < end; ++row) {
    Normalise(head.k(row), p.key_dim, 1.0f, k_sums, k);
    Normalise(head.q(row), p.key_dim, query_scale, q_sums, q);
    const float decay = DecayOf(head.log_decay(row));
    float y = 0;
    for (int i = warp; i < p.key_dim; i += kWarps) y += tile[i * kCols + lane] * k[i];
    y = SumOverWarps(y, y_partials);
    const float v = has_col ? AsFloat(head.v(row)[col]) : 0.0f;
    const float d = head.beta(row) * (v - decay * y);
    float o = 0;
    for (int i = warp; i < p.key_dim; i += kWarps) {
      float s = decay * tile[i * kCols + lane] + k[i] * d;
      s = AsFloat(FromFloat<State>(s));
      tile[i * kCols + lane] = s;
      o += s * q[i];
    }
    o = SumOverWarps(o, o_partials);
    if (warp == 0 && has_col) head.out(row)[col] = FromFloat<IO>(o);
    __syncthreads();
  }
  if (!has_col) return;
  for (int i = warp; i < p.key_dim; i += kWarps) {
    state[int64_t{i} * p.value_dim] = FromFloat<State>(tile[i * kCols + lane]);
  }
}

template <typename IO, typename State>
cudaError_t Launch(const DeltaParams& p, cudaStream_t stream) {
  const int64_t bytes = SharedBytes(p.key_dim);
  if (bytes > kMaxSharedBytes) return cudaErrorInvalidValue;
  const auto kernel = DeltaGeneralKernel<IO, State>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kMaxSharedBytes));
  if (error != cudaSuccess) return error;
  const dim3 grid((p.value_dim + kCols - 1) / kCols, p.value_heads, p.num_sequences);
  kernel<<<grid, kThreads, bytes, stream>>>(p);
  return cudaGetLastError();
}

template <typename IO>
cudaError_t LaunchForState(const DeltaParams& p, DType state_dtype, cudaStream_t stream) {
  return state_dtype == DType::kF32 ? Launch<IO, float>(p, stream) : Launch<IO, BF16>(p, stream);
}

}  // namespace

cudaError_t LaunchGatedDeltaGeneral(const DeltaParams& params, DType dtype, DType state_dtype,
                                    cudaStream_t stream) {
  return dtype == DType::kF32 ? LaunchForState<float>(params, state_dtype, stream)
                              : LaunchForState<BF16>(params, state_dtype, stream);
}

}  // namespace winnow::cuda
