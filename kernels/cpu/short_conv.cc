#include "kernels/cpu/short_conv.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/batch.h"
#include "kernels/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/short_conv.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {
namespace {

// out[c] = silu(sum over taps i of weight[i * n + c] * taps[i][c]), taps oldest first.
void ConvRow(const float* const* taps, int64_t width, const float* HWY_RESTRICT weight, int64_t n,
             float* HWY_RESTRICT out) {
  ForVectors(n, [&](auto d, int64_t c) HWY_ATTR {
    auto sum = hn::Mul(hn::LoadU(d, weight + c), hn::LoadU(d, taps[0] + c));
    for (int64_t i = 1; i < width; ++i) {
      sum = hn::MulAdd(hn::LoadU(d, weight + i * n + c), hn::LoadU(d, taps[i] + c), sum);
    }
    hn::StoreU(Silu(d, sum), d, out + c);
  });
}

}  // namespace
}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::cpu {
namespace {

HWY_EXPORT(ConvRow);

// Channels of a task: at least kMinChannels, for long runs in memory, and about kGrain elements, so
// that the pool's overhead does not show.
constexpr int64_t kMinChannels = 128;
constexpr int64_t kGrain = 8192;

// The channels [begin, begin + size) of the op.
struct ChannelBlock {
  int64_t begin = 0;
  int64_t size = 0;
  float* weight = nullptr;  // [width, size]
};

void TransposeWeight(const ShortConvArgs& args, const ChannelBlock& block) {
  for (int64_t c = 0; c < block.size; ++c) {
    for (int64_t i = 0; i < args.width; ++i) {
      block.weight[i * block.size + c] = args.weight[(block.begin + c) * args.width + i];
    }
  }
}

// Keeps the last width - 1 inputs of the old history followed by the step's rows.
void MoveHistory(const ShortConvArgs& args, const ChannelBlock& block, int64_t first_row,
                 int64_t num_rows, float* history) {
  const int64_t past = args.width - 1;
  const int64_t num_channels = args.x.dim(1);
  const size_t bytes = block.size * sizeof(float);
  for (int64_t i = 0; i < past; ++i) {
    const int64_t from = i + num_rows;  // counted from the oldest input in the old history
    const float* source =
        from < past ? history + from * num_channels : args.x.row<float>(first_row + from - past);
    std::memcpy(history + i * num_channels + block.begin, source + block.begin, bytes);
  }
}

void ConvSequence(const ShortConvArgs& args, const ChannelBlock& block, int64_t sequence,
                  std::vector<const float*>& taps) {
  const int64_t past = args.width - 1;
  const int64_t num_channels = args.x.dim(1);
  const int64_t first_row = args.batch.row_offsets[sequence];
  const int64_t num_rows = args.batch.row_offsets[sequence + 1] - first_row;
  if (num_rows == 0) return;
  float* history = past == 0 ? nullptr : args.history.at<float>(args.batch.slots[sequence]);
  for (int64_t t = 0; t < num_rows; ++t) {
    for (int64_t i = 0; i < args.width; ++i) {
      const int64_t row = t - past + i;
      taps[i] =
          (row < 0 ? history + (past + row) * num_channels : args.x.row<float>(first_row + row)) +
          block.begin;
    }
    HWY_DYNAMIC_DISPATCH(ConvRow)
    (taps.data(), args.width, block.weight, block.size,
     args.out.row<float>(first_row + t) + block.begin);
  }
  MoveHistory(args, block, first_row, num_rows, history);
}

}  // namespace

void ShortConv(ThreadPool& pool, const ShortConvArgs& args) {
  const int64_t num_channels = args.x.dim(1);
  WINNOW_CHECK(args.width >= 1) << "width " << args.width;
  WINNOW_CHECK(args.x.dim(0) == args.batch.num_tokens && args.out.dim(0) == args.batch.num_tokens);
  WINNOW_CHECK(args.out.dim(1) == num_channels) << args.out.dim(1) << " vs " << num_channels;
  if (args.batch.num_tokens == 0) return;
  const int64_t channels = std::max(kMinChannels, kGrain / args.batch.num_tokens);
  const int64_t num_blocks = (num_channels + channels - 1) / channels;
  pool.Run(num_blocks, [&](int64_t task, int thread) {
    const int64_t begin = task * channels;
    const int64_t size = std::min(channels, num_channels - begin);
    const ChannelBlock block{
        .begin = begin, .size = size, .weight = pool.ThreadScratch(thread, args.width * size)};
    TransposeWeight(args, block);
    std::vector<const float*> taps(args.width);
    for (int64_t s = 0; s < args.batch.num_sequences; ++s) ConvSequence(args, block, s, taps);
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
