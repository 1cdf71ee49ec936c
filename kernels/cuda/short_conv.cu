#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/short_conv.h"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 128;
// Rows of a sequence that one thread computes, one after the other: more where the history is
// longer, so that only the first tile of a sequence reads it.
constexpr int64_t kMinTileRows = 8;

struct ConvParams {
  RaggedBatch batch;
  const float* weight;  // [C, width]
  int width;
  int tile_rows;
  SlotField history;
  int64_t channels;
  int64_t x_stride, out_stride;
};

// kLanes channels of one sequence over one tile of its rows.
template <int kLanes, typename T>
class ConvThread {
 public:
  __device__ ConvThread(const ConvParams& p, const T* x, int64_t channel, int sequence)
      : p_(p),
        x_(x + int64_t{p.batch.row_offsets[sequence]} * p.x_stride + channel),
        history_(reinterpret_cast<float*>(p.history.base +
                                          p.batch.slots[sequence] * p.history.slot_stride_bytes) +
                 channel),
        weight_(p.weight + channel * p.width) {}

  __device__ void Row(int row, T* out) const {
    float sums[kLanes] = {};
    for (int i = 0; i < p_.width; ++i) {
      const Pack<float, kLanes> input = Input(row - (p_.width - 1) + i);
#pragma unroll
      for (int l = 0; l < kLanes; ++l) {
        sums[l] = fmaf(weight_[l * p_.width + i], input.lanes[l], sums[l]);
      }
    }
    Pack<T, kLanes> result;
#pragma unroll
    for (int l = 0; l < kLanes; ++l) result.lanes[l] = FromFloat<T>(SiluOf(sums[l]));
    *reinterpret_cast<Pack<T, kLanes>*>(out) = result;
  }

  // Entry i becomes the input width - 1 - i rows before the end. In ascending order: an old entry
  // is read before its place is taken.
  __device__ void SaveHistory(int num_rows) const {
    for (int i = 0; i < p_.width - 1; ++i) {
      *HistoryEntry(i) = Input(num_rows - (p_.width - 1) + i);
    }
  }

 private:
  __device__ Pack<float, kLanes>* HistoryEntry(int i) const {
    return reinterpret_cast<Pack<float, kLanes>*>(history_ + i * p_.channels);
  }

  // The input of a row of the step, or of one before it.
  __device__ Pack<float, kLanes> Input(int row) const {
    if (row < 0) return *HistoryEntry(row + p_.width - 1);
    const auto in = *reinterpret_cast<const Pack<T, kLanes>*>(x_ + row * p_.x_stride);
    Pack<float, kLanes> input;
#pragma unroll
    for (int l = 0; l < kLanes; ++l) input.lanes[l] = AsFloat(in.lanes[l]);
    return input;
  }

  const ConvParams& p_;
  const T* x_;      // row 0 of the sequence
  float* history_;  // entry 0 of its slot
  const float* weight_;
};

// Grid: channels, sequences, tiles of rows.
template <int kLanes, typename T>
__global__ void ShortConvKernel(ConvParams p, const T* x, T* out) {
  const int64_t channel = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kLanes;
  const int sequence = blockIdx.y;
  const int first_row = p.batch.row_offsets[sequence];
  const int num_rows = p.batch.row_offsets[sequence + 1] - first_row;
  const int begin = blockIdx.z * p.tile_rows;
  if (channel >= p.channels || begin >= num_rows) return;
  const ConvThread<kLanes, T> conv(p, x, channel, sequence);
  const int end = min(num_rows, begin + p.tile_rows);
  for (int row = begin; row < end; ++row) {
    conv.Row(row, out + int64_t{first_row + row} * p.out_stride + channel);
  }
  if (begin == 0) conv.SaveHistory(num_rows);
}

}  // namespace

cudaError_t LaunchShortConv(const ShortConvArgs& args, cudaStream_t stream) {
  if (args.batch.num_tokens == 0) return cudaSuccess;
  if (args.width < 1 || args.width > kMaxShortConvWidth) return cudaErrorInvalidValue;
  const ConvParams p = {.batch = args.batch,
                        .weight = args.weight,
                        .width = static_cast<int>(args.width),
                        .tile_rows = static_cast<int>(std::max(kMinTileRows, args.width - 1)),
                        .history = args.history,
                        .channels = args.x.RowSize(),
                        .x_stride = args.x.row_stride,
                        .out_stride = args.out.row_stride};
  const int64_t tiles = CeilDiv(args.batch.max_tokens_per_sequence, p.tile_rows);
  return ForActivation(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return ForLanes(LanesOf({args.x, args.out}), [&](auto lanes) {
      const unsigned threads = ThreadsFor(p.channels / lanes.value, kThreads);
      const dim3 grid(static_cast<unsigned>(CeilDiv(p.channels / lanes.value, threads)),
                      static_cast<unsigned>(args.batch.num_sequences),
                      static_cast<unsigned>(tiles));
      ShortConvKernel<lanes.value, T>
          <<<grid, threads, 0, stream>>>(p, args.x.data<T>(), args.out.data<T>());
      return cudaGetLastError();
    });
  });
}

}  // namespace winnow::cuda
