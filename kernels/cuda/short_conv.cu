#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/short_conv.h"

namespace winnow::cuda {
namespace {

constexpr int kThreads = 128;
// The width that models have.
constexpr int kCommonWidth = 4;
// Rows of a sequence that one thread computes, one after the other: more where the history is
// longer, so that only the first tile of a sequence reads it.
constexpr int64_t kMinTileRows = 16;

struct ConvParams {
  RaggedBatch batch;
  const void* x;
  void* out;
  const float* weight;  // [C, width]
  int width;
  bool is_common;  // kCommonWidth, a channel's weights in one aligned access
  int tile_rows;
  SlotField history;
  int64_t channels;
  int64_t x_stride, out_stride;
};

// Several convolutions; block x of the grid belongs to the first part that has more blocks than
// that in it and the parts before.
struct ConvGroup {
  ConvParams parts[kMaxShortConvs];
  unsigned blocks_through[kMaxShortConvs];
};

// kLanes channels of one sequence over one tile of its rows.
template <int kLanes, typename T>
class ConvThread {
 public:
  // Rows begin .. end - 1 of a convolution of kWidth taps, whose last inputs stay in registers:
  // the history of a sequence that ends there (`saves`).
  template <int kWidth>
  __device__ void Rows(int begin, int end, T* out, int64_t out_stride, bool saves) const {
    Pack<float, kWidth> weights[kLanes];
#pragma unroll
    for (int l = 0; l < kLanes; ++l) {
      weights[l] = reinterpret_cast<const Pack<float, kWidth>*>(weight_)[l];
    }
    Pack<float, kLanes> window[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth - 1; ++i) window[i + 1] = Input(begin - (kWidth - 1) + i);
    for (int row = begin; row < end; ++row) {
#pragma unroll
      for (int i = 0; i < kWidth - 1; ++i) window[i] = window[i + 1];
      window[kWidth - 1] = Input(row);
      Pack<T, kLanes> result;
#pragma unroll
      for (int l = 0; l < kLanes; ++l) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) sum = fmaf(weights[l].lanes[i], window[i].lanes[l], sum);
        result.lanes[l] = FromFloat<T>(SiluOf(sum));
      }
      *reinterpret_cast<Pack<T, kLanes>*>(out + row * out_stride) = result;
    }
    if (!saves) return;
#pragma unroll
    for (int i = 0; i < kWidth - 1; ++i) *HistoryEntry(i) = window[i + 1];
  }

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

// Grid: channels of all parts, sequences, tiles of rows.
template <int kLanes, typename T>
__global__ void ShortConvKernel(const __grid_constant__ ConvGroup group) {
  StartAfterPrevious();
  int part = 0;
  while (blockIdx.x >= group.blocks_through[part]) ++part;
  const ConvParams& p = group.parts[part];
  const unsigned block = blockIdx.x - (part == 0 ? 0 : group.blocks_through[part - 1]);
  const int64_t channel = (int64_t{block} * blockDim.x + threadIdx.x) * kLanes;
  const int sequence = blockIdx.y;
  const int first_row = p.batch.row_offsets[sequence];
  const int num_rows = p.batch.row_offsets[sequence + 1] - first_row;
  const int begin = blockIdx.z * p.tile_rows;
  if (channel >= p.channels || begin >= num_rows) return;
  const ConvThread<kLanes, T> conv(p, static_cast<const T*>(p.x), channel, sequence);
  const int end = min(num_rows, begin + p.tile_rows);
  T* out = static_cast<T*>(p.out) + int64_t{first_row} * p.out_stride + channel;
  // The tile that has read the old history writes the new one.
  const bool is_whole = begin == 0 && end == num_rows;
  if (p.is_common) {
    conv.template Rows<kCommonWidth>(begin, end, out, p.out_stride, is_whole);
    if (is_whole) return;
  } else {
    for (int row = begin; row < end; ++row) conv.Row(row, out + row * p.out_stride);
  }
  if (begin == 0) conv.SaveHistory(num_rows);
}

ConvParams ParamsOf(const ShortConvArgs& args, int64_t tile_rows) {
  constexpr size_t kWeightBytes = kCommonWidth * sizeof(float);
  return {.batch = args.batch,
          .x = args.x.raw,
          .out = args.out.raw,
          .weight = args.weight,
          .width = static_cast<int>(args.width),
          .is_common = args.width == kCommonWidth &&
                       reinterpret_cast<uintptr_t>(args.weight) % kWeightBytes == 0,
          .tile_rows = static_cast<int>(tile_rows),
          .history = args.history,
          .channels = args.x.RowSize(),
          .x_stride = args.x.row_stride,
          .out_stride = args.out.row_stride};
}

// At most kMaxShortConvs.
cudaError_t LaunchGroup(const ShortConvArgs* parts, int count, cudaStream_t stream) {
  const RaggedBatch& batch = parts[0].batch;
  int lanes = 4;
  int64_t tile_rows = kMinTileRows, most_channels = 0;
  for (int i = 0; i < count; ++i) {
    if (parts[i].width < 1 || parts[i].width > kMaxShortConvWidth ||
        parts[i].x.dtype != parts[0].x.dtype || parts[i].out.dtype != parts[0].x.dtype) {
      return cudaErrorInvalidValue;
    }
    lanes = std::min(lanes, LanesOf({parts[i].x, parts[i].out}));
    tile_rows = std::max(tile_rows, parts[i].width - 1);
    most_channels = std::max(most_channels, parts[i].x.RowSize());
  }
  const unsigned threads = ThreadsFor(most_channels / lanes, kThreads);
  ConvGroup group;
  unsigned blocks = 0;
  for (int i = 0; i < count; ++i) {
    group.parts[i] = ParamsOf(parts[i], tile_rows);
    blocks += static_cast<unsigned>(CeilDiv(group.parts[i].channels / lanes, threads));
    group.blocks_through[i] = blocks;
  }
  const dim3 grid(blocks, static_cast<unsigned>(batch.num_sequences),
                  static_cast<unsigned>(CeilDiv(batch.max_tokens_per_sequence, tile_rows)));
  return ForActivation(parts[0].x.dtype, [&](auto element) {
    using T = decltype(element);
    return ForLanes(lanes, [&](auto lanes) {
      return LaunchEarly(ShortConvKernel<lanes.value, T>, grid, threads, 0, stream, group);
    });
  });
}

}  // namespace

cudaError_t LaunchShortConvs(const std::vector<ShortConvArgs>& parts, cudaStream_t stream) {
  const int count = static_cast<int>(parts.size());
  if (count == 0 || parts[0].batch.num_tokens == 0) return cudaSuccess;
  for (int begin = 0; begin < count; begin += kMaxShortConvs) {
    const cudaError_t error =
        LaunchGroup(parts.data() + begin, std::min(kMaxShortConvs, count - begin), stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace winnow::cuda
