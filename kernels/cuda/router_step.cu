#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/router_step.h"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxConvs = 4;
// Weights, and rows of a history, that a thread asks for at once.
constexpr int kInFlight = 16;
constexpr int kHistoryInFlight = 4;
constexpr int kMaxOut = kThreads;
constexpr int64_t kMaxSharedBytes = 48 << 10;

struct Conv {
  int in, out, size, dilation;
  int64_t delay;        // of the output: it stands for the position `delay` before the row's own
  const float* weight;  // [groups, size, in, out]
  const float* bias;    // [groups, out]
  SlotField history;    // [dilation * (size - 1), Hkv, in]
  int stream;           // of its inputs in shared memory, floats from the start of a row's streams

  __host__ __device__ int history_rows() const { return dilation * (size - 1); }
  __host__ __device__ int stream_floats() const { return (history_rows() + 1) * in; }
};

struct StepParams {
  RaggedBatch batch;
  const void* k;
  const void* v;
  int64_t k_stride, v_stride;
  int k_dim;
  int num_heads, num_groups, num_convs;
  Conv convs[kMaxConvs];
  int output;      // of the last convolution, among a row's streams
  int row_floats;  // streams of one row
  const float* proj_weight;
  const float* proj_bias;
  bool sigmoid;
  float* scores;
  int64_t scores_stride;
};

// kRows sequences and one head. Shared memory: streams [kRows, row_floats], partial sums [kRows,
// kThreads].
template <int kRows, typename T>
class RouterBlock {
 public:
  __device__ RouterBlock(const StepParams& p, int64_t* positions, float* shared)
      : p_(p),
        positions_(positions),
        streams_(shared),
        partials_(shared + kRows * p.row_floats),
        head_(blockIdx.y),
        group_(p.num_groups == 1 ? 0 : blockIdx.y),
        first_(blockIdx.x * kRows),
        num_rows_(min(kRows, static_cast<int>(p.batch.num_sequences) - first_)) {}

  __device__ void Run() const {
    for (int r = 0; r < num_rows_; ++r) Load(r);
    __syncthreads();
    for (int i = 0; i < p_.num_convs; ++i) Convolve(i);
    for (int r = threadIdx.x / kWarpSize; r < num_rows_; r += kThreads / kWarpSize) Project(r);
    for (int r = 0; r < num_rows_; ++r) SaveHistories(r);
  }

 private:
  __device__ float* Stream(int r, int offset) const {
    return streams_ + r * p_.row_floats + offset;
  }
  __device__ float* History(const Conv& conv, int r) const {
    return FieldAt<float>(conv.history, p_.batch.slots[first_ + r]) + head_ * conv.in;
  }

  // The histories of all convolutions, and [k, v] behind the first one's.
  __device__ void Load(int r) const {
    for (int i = 0; i < p_.num_convs; ++i) {
      const Conv& conv = p_.convs[i];
      LoadHistory(conv, History(conv, r), Stream(r, conv.stream));
    }
    const Conv& conv = p_.convs[0];
    const int64_t row = p_.batch.row_offsets[first_ + r];
    const int v_dim = conv.in - p_.k_dim;
    const T* k = static_cast<const T*>(p_.k) + row * p_.k_stride + head_ * p_.k_dim;
    const T* v = static_cast<const T*>(p_.v) + row * p_.v_stride + head_ * v_dim;
    if (threadIdx.x == 0) positions_[r] = p_.batch.positions[row];
    float* to = Stream(r, conv.stream) + conv.history_rows() * conv.in;
    for (int c = threadIdx.x; c < conv.in; c += kThreads) {
      to[c] = AsFloat(c < p_.k_dim ? k[c] : v[c - p_.k_dim]);
    }
  }

  // Adds up kInFlight inputs, or `count` if that is fewer. All weights are asked for at once.
  __device__ void AddUp(const float* weight, int stride, const float* input, int count,
                        float (&sums)[kRows]) const {
    float w[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) w[u] = u < count ? weight[u * stride] : 0.0f;
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      if (u >= count) break;
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[r] = fmaf(input[r * p_.row_floats + u], w[u], sums[r]);
    }
  }

  // Thread (split, out) adds up its share of the inputs for all rows; then shares are added up.
  __device__ void Convolve(int i) const {
    const Conv& conv = p_.convs[i];
    const int splits = kThreads / conv.out;
    const int split = threadIdx.x / conv.out, out = threadIdx.x % conv.out;
    const int num_inputs = conv.size * conv.in;
    const int share = (num_inputs + splits - 1) / splits;
    if (split < splits) {
      const float* weight = conv.weight + int64_t{group_} * num_inputs * conv.out + out;
      const int end = min(num_inputs, (split + 1) * share);
      const float bias = split == 0 ? conv.bias[group_ * conv.out + out] : 0.0f;
      float sums[kRows] = {};
      // One tap after the other: within it, inputs follow each other.
      for (int begin = split * share; begin < end;) {
        const int tap = begin / conv.in;
        const int tap_end = min(end, (tap + 1) * conv.in);
        const float* input = Stream(0, conv.stream + tap * (conv.dilation - 1) * conv.in);
        for (int j = begin; j < tap_end; j += kInFlight) {
          AddUp(weight + int64_t{j} * conv.out, conv.out, input + j, tap_end - j, sums);
        }
        begin = tap_end;
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        partials_[r * kThreads + split * conv.out + out] = sums[r] + bias;
      }
    }
    __syncthreads();
    const int next = i + 1 < p_.num_convs
                         ? p_.convs[i + 1].stream + p_.convs[i + 1].history_rows() * conv.out
                         : p_.output;
    for (int j = threadIdx.x; j < num_rows_ * conv.out; j += kThreads) {
      const int r = j / conv.out, o = j % conv.out;
      float sum = 0;
      for (int s = 0; s < splits; ++s) sum += partials_[r * kThreads + s * conv.out + o];
      Stream(r, next)[o] = positions_[r] >= conv.delay ? SiluOf(sum) : 0.0f;
    }
    __syncthreads();
  }

  __device__ void Project(int r) const {
    const Conv& last = p_.convs[p_.num_convs - 1];
    const int lane = threadIdx.x % kWarpSize;
    float sum = 0;
    for (int c = lane; c < last.out; c += kWarpSize) {
      sum = fmaf(Stream(r, p_.output)[c], p_.proj_weight[group_ * last.out + c], sum);
    }
    const float z = WarpSum(sum) + p_.proj_bias[group_];
    if (lane != 0) return;
    // sigmoid(z) - 1/2 as tanh(z / 2) / 2, which keeps the sign of the smallest z.
    const float score = p_.sigmoid ? static_cast<float>(0.5 * tanh(0.5 * static_cast<double>(z)))
                                   : (z > 0 || isnan(z) ? z : 0.0f);
    const int64_t row = p_.batch.row_offsets[first_ + r];
    p_.scores[row * p_.scores_stride + head_] = positions_[r] >= last.delay ? score : 0.0f;
  }

  // All but the oldest row of each stream.
  __device__ void SaveHistories(int r) const {
    for (int i = 0; i < p_.num_convs; ++i) {
      const Conv& conv = p_.convs[i];
      float* history = History(conv, r);
      const float* stream = Stream(r, conv.stream) + conv.in;
      for (int h = 0; h < conv.history_rows(); ++h) {
        for (int c = threadIdx.x; c < conv.in; c += kThreads) {
          history[int64_t{h} * p_.num_heads * conv.in + c] = stream[h * conv.in + c];
        }
      }
    }
  }

  // Some rows at once: the stores to shared memory must not hold up the loads behind them.
  __device__ void LoadHistory(const Conv& conv, const float* history, float* stream) const {
    const int rows = conv.history_rows();
    for (int c = threadIdx.x; c < conv.in; c += kThreads) {
      for (int h = 0; h < rows; h += kHistoryInFlight) {
        float x[kHistoryInFlight];
#pragma unroll
        for (int u = 0; u < kHistoryInFlight; ++u) {
          if (h + u < rows) x[u] = history[int64_t{h + u} * p_.num_heads * conv.in + c];
        }
#pragma unroll
        for (int u = 0; u < kHistoryInFlight; ++u) {
          if (h + u < rows) stream[(h + u) * conv.in + c] = x[u];
        }
      }
    }
  }

  const StepParams& p_;
  int64_t* positions_;  // [kRows] in shared memory
  float* streams_;
  float* partials_;
  const int head_, group_, first_, num_rows_;
};

// Grid: groups of kRows sequences, heads.
template <int kRows, typename T>
__global__ void __launch_bounds__(kThreads) RouterStepKernel(const __grid_constant__ StepParams p) {
  extern __shared__ float shared[];
  __shared__ int64_t positions[kRows];
  RouterBlock<kRows, T>(p, positions, shared).Run();
}

int64_t RowFloats(const RouterWeights& weights) {
  int64_t floats = weights.convs.back().out;
  for (const RouterConv& conv : weights.convs) floats += (conv.history() + 1) * conv.in;
  return floats;
}

int64_t SharedBytes(const RouterWeights& weights, int64_t rows) {
  return rows * (RowFloats(weights) + kThreads) * static_cast<int64_t>(sizeof(float));
}

StepParams ParamsOf(const RouterScoresArgs& args) {
  const RouterWeights& weights = *args.weights;
  StepParams p = {.batch = args.batch,
                  .k = args.k.raw,
                  .v = args.v.raw,
                  .k_stride = args.k.row_stride,
                  .v_stride = args.v.row_stride,
                  .k_dim = static_cast<int>(args.k.dim(2)),
                  .num_heads = static_cast<int>(args.k.dim(1)),
                  .num_groups = static_cast<int>(weights.groups),
                  .num_convs = static_cast<int>(weights.convs.size()),
                  .row_floats = static_cast<int>(RowFloats(weights)),
                  .proj_weight = weights.proj_weight,
                  .proj_bias = weights.proj_bias,
                  .sigmoid = weights.method == RoutingMethod::kSigmoid,
                  .scores = args.scores.data<float>(),
                  .scores_stride = args.scores.row_stride};
  int64_t delay = 0;
  for (int i = 0; i < p.num_convs; ++i) {
    const RouterConv& conv = weights.convs[i];
    delay += conv.right();
    p.convs[i] = {.in = static_cast<int>(conv.in),
                  .out = static_cast<int>(conv.out),
                  .size = static_cast<int>(conv.size),
                  .dilation = static_cast<int>(conv.dilation),
                  .delay = delay,
                  .weight = conv.weight,
                  .bias = conv.bias,
                  .history = args.history[i],
                  .stream = p.output};
    p.output += p.convs[i].stream_floats();
  }
  return p;
}

template <int kRows, typename T>
cudaError_t Launch(const RouterScoresArgs& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(CeilDiv(args.batch.num_sequences, kRows)),
                  static_cast<unsigned>(args.k.dim(1)));
  RouterStepKernel<kRows, T>
      <<<grid, kThreads, SharedBytes(*args.weights, kRows), stream>>>(ParamsOf(args));
  return cudaGetLastError();
}

// Sequences of a block: few where there are few, so that all multiprocessors have work.
constexpr int kFewRows = 1, kManyRows = 4;
constexpr int64_t kManyBlocks = 256;

}  // namespace

bool IsRouterStep(const RouterScoresArgs& args) {
  const auto& convs = args.weights->convs;
  return args.batch.max_tokens_per_sequence == 1 &&
         args.batch.num_tokens == args.batch.num_sequences && !convs.empty() &&
         convs.size() <= kMaxConvs &&
         std::all_of(convs.begin(), convs.end(),
                     [](const RouterConv& conv) { return conv.out <= kMaxOut; }) &&
         SharedBytes(*args.weights, kManyRows) <= kMaxSharedBytes;
}

cudaError_t LaunchRouterStep(const RouterScoresArgs& args, cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  if (args.k.dtype != args.v.dtype) return cudaErrorInvalidValue;
  return ForActivation(args.k.dtype, [&](auto element) {
    using T = decltype(element);
    const bool few = args.batch.num_sequences * args.k.dim(1) <= kManyBlocks;
    return few ? Launch<kFewRows, T>(args, stream) : Launch<kManyRows, T>(args, stream);
  });
}

}  // namespace winnow::cuda
