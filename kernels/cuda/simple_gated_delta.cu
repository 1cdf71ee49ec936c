#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/simple_gated_delta.h"

namespace winnow::cuda {
namespace {

constexpr int kColumns = 32;  // of a tile: one per lane
constexpr int kWarps = 8;     // rows of S are dealt out to the warps in turn
constexpr int kThreads = kColumns * kWarps;

struct DeltaParams {
  RaggedBatch batch;
  const void* q;
  const void* k;
  const void* v;
  const void* a;
  const void* b;
  void* out;
  int64_t q_stride, k_stride, v_stride, a_stride, b_stride, out_stride;
  const float* a_log;
  const float* dt_bias;
  float beta_scale;
  SlotField state;
  int num_value_heads, heads_per_key;
  int key_dim, value_dim;
};

// The inputs of a row, shared by the block: q and k normalised.
struct SharedRow {
  float q[kMaxSimpleKeyDim];
  float k[kMaxSimpleKeyDim];
  float sums[2][kWarps][kColumns];  // partial S^T k, then S^T q
  float norms[2][kWarps];
};

__device__ float Softplus(float x) { return x > 20.0f ? x : log1pf(expf(x)); }

// Loads and normalises q and k of a row: x / sqrt(sum x^2 + 1e-6), q also times Dk^-1/2.
template <typename T>
__device__ void LoadRow(const DeltaParams& p, int64_t row, int key_head, SharedRow* shared) {
  const T* q = static_cast<const T*>(p.q) + row * p.q_stride + key_head * p.key_dim;
  const T* k = static_cast<const T*>(p.k) + row * p.k_stride + key_head * p.key_dim;
  float q_squares = 0, k_squares = 0;
  for (int i = threadIdx.x; i < p.key_dim; i += kThreads) {
    shared->q[i] = AsFloat(q[i]);
    shared->k[i] = AsFloat(k[i]);
    q_squares = fmaf(shared->q[i], shared->q[i], q_squares);
    k_squares = fmaf(shared->k[i], shared->k[i], k_squares);
  }
  q_squares = WarpSum(q_squares);
  k_squares = WarpSum(k_squares);
  if (threadIdx.x % kWarpSize == 0) {
    shared->norms[0][threadIdx.x / kWarpSize] = q_squares;
    shared->norms[1][threadIdx.x / kWarpSize] = k_squares;
  }
  __syncthreads();
}

// Sum over warps, in the order of the warps.
__device__ float SumOf(const float (&parts)[kWarps]) {
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += parts[w];
  return sum;
}

__device__ float ColumnSum(const float (&parts)[kWarps][kColumns], int column) {
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += parts[w][column];
  return sum;
}

// Grid: tiles of columns, value heads, sequences. Thread (lane, warp) has column `lane` of the
// tile and rows warp, warp + 8, ... of S: kRows of them at most.
template <int kRows, typename T, typename Gate>
__global__ void __launch_bounds__(kThreads) SimpleGatedDeltaKernel(DeltaParams p) {
  __shared__ SharedRow shared;
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const int column = blockIdx.x * kColumns + lane;
  const bool in_range = column < p.value_dim;
  const int head = blockIdx.y, sequence = blockIdx.z;
  const int first_row = p.batch.row_offsets[sequence];
  const int end_row = p.batch.row_offsets[sequence + 1];
  if (first_row == end_row) return;

  float* state = FieldAt<float>(p.state, p.batch.slots[sequence]) +
                 int64_t{head} * p.key_dim * p.value_dim + column;
  float s[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int i = warp + r * kWarps;
    s[r] = in_range && i < p.key_dim ? state[int64_t{i} * p.value_dim] : 0.0f;
  }
  const float decay_rate = -expf(p.a_log[head]);
  const float q_scale = rsqrtf(static_cast<float>(p.key_dim));

  for (int row = first_row; row < end_row; ++row) {
    LoadRow<T>(p, row, head / p.heads_per_key, &shared);
    const float q_norm = q_scale / sqrtf(SumOf(shared.norms[0]) + 1e-6f);
    const float k_norm = 1.0f / sqrtf(SumOf(shared.norms[1]) + 1e-6f);
    const float a = AsFloat(static_cast<const Gate*>(p.a)[row * p.a_stride + head]);
    const float b = AsFloat(static_cast<const Gate*>(p.b)[row * p.b_stride + head]);
    const float decay = expf(decay_rate * Softplus(a + p.dt_bias[head]));
    const float beta = p.beta_scale * Sigmoid(b);

    float partial = 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int i = warp + r * kWarps;
      s[r] *= decay;
      if (i < p.key_dim) partial = fmaf(s[r], shared.k[i], partial);
    }
    shared.sums[0][warp][lane] = partial;
    __syncthreads();
    const T* v = static_cast<const T*>(p.v) + row * p.v_stride + head * p.value_dim;
    const float value = in_range ? AsFloat(v[column]) : 0.0f;
    const float predicted = ColumnSum(shared.sums[0], lane) * k_norm;
    const float update = beta * (value - predicted) * k_norm;

    partial = 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int i = warp + r * kWarps;
      if (i >= p.key_dim) continue;
      s[r] = fmaf(shared.k[i], update, s[r]);
      partial = fmaf(s[r], shared.q[i], partial);
    }
    shared.sums[1][warp][lane] = partial;
    __syncthreads();
    if (warp == 0 && in_range) {
      T* out = static_cast<T*>(p.out) + row * p.out_stride + head * p.value_dim;
      out[column] = FromFloat<T>(ColumnSum(shared.sums[1], lane) * q_norm);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int i = warp + r * kWarps;
    if (in_range && i < p.key_dim) state[int64_t{i} * p.value_dim] = s[r];
  }
}

template <typename T, typename Gate>
cudaError_t Launch(const DeltaParams& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(CeilDiv(p.value_dim, kColumns)),
                  static_cast<unsigned>(p.num_value_heads),
                  static_cast<unsigned>(p.batch.num_sequences));
  if (p.key_dim <= 64) {
    SimpleGatedDeltaKernel<64 / kWarps, T, Gate><<<grid, kThreads, 0, stream>>>(p);
  } else if (p.key_dim <= 128) {
    SimpleGatedDeltaKernel<128 / kWarps, T, Gate><<<grid, kThreads, 0, stream>>>(p);
  } else if (p.key_dim <= 256) {
    SimpleGatedDeltaKernel<256 / kWarps, T, Gate><<<grid, kThreads, 0, stream>>>(p);
  } else if (p.key_dim <= kMaxSimpleKeyDim) {
    SimpleGatedDeltaKernel<kMaxSimpleKeyDim / kWarps, T, Gate><<<grid, kThreads, 0, stream>>>(p);
  } else {
    return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t LaunchSimpleGatedDelta(const GatedDeltaArgs& args, cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  const DeltaParams p = {.batch = args.batch,
                         .q = args.q.raw,
                         .k = args.k.raw,
                         .v = args.v.raw,
                         .a = args.a.raw,
                         .b = args.b.raw,
                         .out = args.out.raw,
                         .q_stride = args.q.row_stride,
                         .k_stride = args.k.row_stride,
                         .v_stride = args.v.row_stride,
                         .a_stride = args.a.row_stride,
                         .b_stride = args.b.row_stride,
                         .out_stride = args.out.row_stride,
                         .a_log = args.a_log,
                         .dt_bias = args.dt_bias,
                         .beta_scale = args.beta_scale,
                         .state = args.state,
                         .num_value_heads = static_cast<int>(args.v.dim(1)),
                         .heads_per_key = static_cast<int>(args.v.dim(1) / args.k.dim(1)),
                         .key_dim = static_cast<int>(args.k.dim(2)),
                         .value_dim = static_cast<int>(args.v.dim(2))};
  for (const TensorView* x : {&args.k, &args.v, &args.out}) {
    if (x->dtype != args.q.dtype) return cudaErrorInvalidValue;
  }
  if (args.a.dtype != args.b.dtype) return cudaErrorInvalidValue;
  return ForActivation(args.q.dtype, [&](auto element) {
    return ForActivation(args.a.dtype, [&](auto gate) {
      return Launch<decltype(element), decltype(gate)>(p, stream);
    });
  });
}

}  // namespace winnow::cuda
