#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/router.h"

namespace winnow::cuda {
namespace {

constexpr int kTileRows = 16;      // of a block
constexpr int kThreadRows = 4;     // of a thread
constexpr int kMaxOutputs = 64;    // of a block
constexpr int kChunk = 384;        // inputs (tap and channel) staged at a time
constexpr int kWarpsPerBlock = 8;  // of the projection
constexpr int kThreads = 256;

// The input of a convolution: [k, v] of the step, or what the convolution before it wrote.
struct ConvInput {
  const void* k = nullptr;
  const void* v = nullptr;
  int64_t k_stride = 0, v_stride = 0;
  int k_dim = 0;
  const float* rows = nullptr;  // [T, Hkv, in]; null: k and v
};

struct ConvParams {
  RaggedBatch batch;
  ConvInput input;
  int num_heads, num_groups;
  int in, out, size, dilation;
  int64_t delay;        // of the output: row t stands for the position `delay` before its own
  const float* weight;  // [groups, size, in, out]
  const float* bias;    // [groups, out]
  SlotField history;    // [dilation * (size - 1), Hkv, in]
  float* output;        // [T, Hkv, out]

  __host__ __device__ int history_rows() const { return dilation * (size - 1); }
};

// The sequence of a row of the step.
__device__ int SequenceOf(const RaggedBatch& batch, int row) {
  int low = 0, high = static_cast<int>(batch.num_sequences);
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (batch.row_offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

template <typename T>
__device__ float InputAt(const ConvParams& p, int64_t row, int head, int channel) {
  const ConvInput& input = p.input;
  if (input.rows != nullptr) return input.rows[(row * p.num_heads + head) * p.in + channel];
  if (channel < input.k_dim) {
    return AsFloat(
        static_cast<const T*>(input.k)[row * input.k_stride + head * input.k_dim + channel]);
  }
  const int v_dim = p.in - input.k_dim;
  return AsFloat(
      static_cast<const T*>(input.v)[row * input.v_stride + head * v_dim + channel - input.k_dim]);
}

// The input `offset` rows after the sequence's first row; before it, from the history.
template <typename T>
__device__ float StreamAt(const ConvParams& p, int first_row, int offset, const float* history,
                          int head, int channel) {
  if (offset >= 0) return InputAt<T>(p, first_row + offset, head, channel);
  return history[(int64_t{offset + p.history_rows()} * p.num_heads + head) * p.in + channel];
}

// Grid: tiles of rows, heads, ranges of outputs. Block: outputs, groups of kThreadRows rows.
template <typename T>
__global__ void RouterConvKernel(ConvParams p) {
  __shared__ __align__(16) float inputs[kTileRows][kChunk];
  __shared__ int first_rows[kTileRows];
  __shared__ const float* histories[kTileRows];
  const int head = blockIdx.y;
  const int begin = blockIdx.x * kTileRows;
  const int num_rows = min(kTileRows, static_cast<int>(p.batch.num_tokens) - begin);
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  const int num_threads = blockDim.x * blockDim.y;
  for (int r = thread; r < num_rows; r += num_threads) {
    const int sequence = SequenceOf(p.batch, begin + r);
    first_rows[r] = p.batch.row_offsets[sequence];
    histories[r] = FieldAt<float>(p.history, p.batch.slots[sequence]);
  }

  const int out = blockIdx.z * kMaxOutputs + threadIdx.x;
  const int group = p.num_groups == 1 ? 0 : head;
  const int num_inputs = p.size * p.in;
  const float* weight = p.weight + int64_t{group} * num_inputs * p.out + out;
  const int my_row = threadIdx.y * kThreadRows;
  float sums[kThreadRows] = {};
  for (int chunk = 0; chunk < num_inputs; chunk += kChunk) {
    const int length = min(kChunk, num_inputs - chunk);
    __syncthreads();
    for (int i = thread; i < num_rows * length; i += num_threads) {
      const int r = i / length;
      const int input = chunk + i % length;
      const int offset = begin + r - first_rows[r] - p.history_rows() + input / p.in * p.dilation;
      inputs[r][i % length] =
          StreamAt<T>(p, first_rows[r], offset, histories[r], head, input % p.in);
    }
    __syncthreads();
    if (out >= p.out || my_row >= num_rows) continue;
#pragma unroll 8
    for (int i = 0; i < length; ++i) {
      const float w = weight[int64_t{chunk + i} * p.out];
#pragma unroll
      for (int r = 0; r < kThreadRows; ++r) sums[r] = fmaf(inputs[my_row + r][i], w, sums[r]);
    }
  }
  if (out >= p.out) return;
  for (int r = 0; r < kThreadRows; ++r) {
    const int row = begin + my_row + r;
    if (my_row + r >= num_rows) break;
    const bool exists = p.batch.positions[row] >= p.delay;
    p.output[(int64_t{row} * p.num_heads + head) * p.out + out] =
        exists ? SiluOf(p.bias[group * p.out + out] + sums[r]) : 0.0f;
  }
}

// The last inputs of every convolution, of this step and where it is short of before, become its
// history. Grid: channels, heads, sequences. A thread has one channel: in ascending order, an old
// entry is read before its place is taken.
template <typename T>
__global__ void SaveHistoryKernel(ConvParams p) {
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= p.in) return;
  const int head = blockIdx.y, sequence = blockIdx.z;
  const int first_row = p.batch.row_offsets[sequence];
  const int num_rows = p.batch.row_offsets[sequence + 1] - first_row;
  float* history = FieldAt<float>(p.history, p.batch.slots[sequence]);
  for (int h = 0; h < p.history_rows(); ++h) {
    const int offset = num_rows - p.history_rows() + h;
    history[(int64_t{h} * p.num_heads + head) * p.in + channel] =
        StreamAt<T>(p, first_row, offset, history, head, channel);
  }
}

struct ScoreParams {
  RaggedBatch batch;
  const float* rows;  // [T, Hkv, channels]
  int num_heads, num_groups, channels;
  const float* weight;
  const float* bias;
  bool sigmoid;
  int64_t margin;
  float* scores;
  int64_t scores_stride;
};

// One warp per row and head.
__global__ void RouterScoreKernel(ScoreParams p) {
  const int64_t index = int64_t{blockIdx.x} * kWarpsPerBlock + threadIdx.x / kWarpSize;
  if (index >= p.batch.num_tokens * p.num_heads) return;
  const int lane = threadIdx.x % kWarpSize;
  const int64_t row = index / p.num_heads;
  const int head = static_cast<int>(index % p.num_heads);
  const int group = p.num_groups == 1 ? 0 : head;
  float sum = 0;
  for (int c = lane; c < p.channels; c += kWarpSize) {
    sum = fmaf(p.rows[index * p.channels + c], p.weight[group * p.channels + c], sum);
  }
  const float z = WarpSum(sum) + p.bias[group];
  if (lane != 0) return;
  // sigmoid(z) - 1/2 as tanh(z / 2) / 2, which keeps the sign of the smallest z.
  const float score = p.sigmoid ? static_cast<float>(0.5 * tanh(0.5 * static_cast<double>(z)))
                                : (z > 0 || isnan(z) ? z : 0.0f);
  p.scores[row * p.scores_stride + head] = p.batch.positions[row] >= p.margin ? score : 0.0f;
}

template <typename T>
cudaError_t Convolve(const ConvParams& p, cudaStream_t stream) {
  const int outputs = std::min(p.out, kMaxOutputs);
  const dim3 block(static_cast<unsigned>(outputs), kTileRows / kThreadRows);
  const dim3 grid(static_cast<unsigned>(CeilDiv(p.batch.num_tokens, kTileRows)),
                  static_cast<unsigned>(p.num_heads),
                  static_cast<unsigned>(CeilDiv(p.out, kMaxOutputs)));
  RouterConvKernel<T><<<grid, block, 0, stream>>>(p);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  if (p.history_rows() == 0) return cudaSuccess;
  const unsigned threads = ThreadsFor(p.in, kThreads);
  const dim3 channels(static_cast<unsigned>(CeilDiv(p.in, threads)),
                      static_cast<unsigned>(p.num_heads),
                      static_cast<unsigned>(p.batch.num_sequences));
  SaveHistoryKernel<T><<<channels, threads, 0, stream>>>(p);
  return cudaGetLastError();
}

ConvParams ParamsOf(const RouterScoresArgs& args, size_t i, const ConvInput& input, float* output) {
  const RouterConv& conv = args.weights->convs[i];
  return {.batch = args.batch,
          .input = input,
          .num_heads = static_cast<int>(args.k.dim(1)),
          .num_groups = static_cast<int>(args.weights->groups),
          .in = static_cast<int>(conv.in),
          .out = static_cast<int>(conv.out),
          .size = static_cast<int>(conv.size),
          .dilation = static_cast<int>(conv.dilation),
          .delay = 0,
          .weight = conv.weight,
          .bias = conv.bias,
          .history = args.history[i],
          .output = output};
}

template <typename T>
cudaError_t Run(const RouterScoresArgs& args, float* scratch, cudaStream_t stream) {
  const RouterWeights& weights = *args.weights;
  const int64_t num_tokens = args.batch.num_tokens, heads = args.k.dim(1);
  ConvInput input = {.k = args.k.raw,
                     .v = args.v.raw,
                     .k_stride = args.k.row_stride,
                     .v_stride = args.v.row_stride,
                     .k_dim = static_cast<int>(args.k.dim(2))};
  int64_t delay = 0;
  for (size_t i = 0; i < weights.convs.size(); ++i) {
    delay += weights.convs[i].right();
    ConvParams p = ParamsOf(args, i, input, scratch);
    p.delay = delay;
    if (const cudaError_t error = Convolve<T>(p, stream); error != cudaSuccess) return error;
    input = ConvInput{.rows = scratch};
    scratch += num_tokens * heads * weights.convs[i].out;
  }
  const ScoreParams p = {.batch = args.batch,
                         .rows = input.rows,
                         .num_heads = static_cast<int>(heads),
                         .num_groups = static_cast<int>(weights.groups),
                         .channels = static_cast<int>(weights.convs.back().out),
                         .weight = weights.proj_weight,
                         .bias = weights.proj_bias,
                         .sigmoid = weights.method == RoutingMethod::kSigmoid,
                         .margin = delay,
                         .scores = args.scores.data<float>(),
                         .scores_stride = args.scores.row_stride};
  RouterScoreKernel<<<static_cast<unsigned>(CeilDiv(num_tokens * heads, kWarpsPerBlock)),
                      kWarpsPerBlock * kWarpSize, 0, stream>>>(p);
  return cudaGetLastError();
}

}  // namespace

int64_t RouterScratchBytes(int64_t num_tokens, int64_t outputs) {
  return num_tokens * outputs * static_cast<int64_t>(sizeof(float));
}

cudaError_t LaunchRouterScores(const RouterScoresArgs& args, std::byte* scratch,
                               cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  if (args.weights->convs.empty() || args.k.dtype != args.v.dtype) {
    return cudaErrorInvalidValue;
  }
  return ForActivation(args.k.dtype, [&](auto element) {
    return Run<decltype(element)>(args, reinterpret_cast<float*>(scratch), stream);
  });
}

}  // namespace winnow::cuda
