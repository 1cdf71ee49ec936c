// Which splits of a streamed product are worth a measurement. No GPU needed.
#include "kernels/cuda/streamed_linear.h"

#include <vector>

#include "gtest/gtest.h"

namespace winnow::cuda {
namespace {

constexpr int kMultiprocessors = 132;

TEST(StreamedLinearSplits, KeepMultiprocessorsEvenlyBusy) {
  using Splits = std::vector<int>;
  // 16 tiles of outputs.
  EXPECT_EQ(StreamedLinearSplits(2048, 2048, kMultiprocessors), Splits({8, 6, 4}));
  EXPECT_EQ(StreamedLinearSplits(2048, 5632, kMultiprocessors), Splits({8, 6, 4}));
  // 64 tiles: 128 blocks, or 256, or 192.
  EXPECT_EQ(StreamedLinearSplits(8192, 2048, kMultiprocessors), Splits({2, 4, 3}));
  // 88 tiles: three blocks of each are two for every multiprocessor.
  EXPECT_EQ(StreamedLinearSplits(11264, 2048, kMultiprocessors), Splits({3, 1, 2}));
  // 250 tiles: two blocks of each would not all run at once.
  EXPECT_EQ(StreamedLinearSplits(32000, 2048, kMultiprocessors), Splits({1}));
  EXPECT_EQ(StreamedLinearSplits(128000, 2048, kMultiprocessors), Splits({1}));
}

TEST(StreamedLinearSplits, NeverExceedThePiecesOfARow) {
  EXPECT_EQ(StreamedLinearSplits(1, 8, kMultiprocessors), std::vector<int>({1}));
  EXPECT_EQ(StreamedLinearSplits(128, 128, kMultiprocessors), std::vector<int>({2, 1}));
}

TEST(StreamedLinear, TakesAlignedRowsOfBF16Only) {
  alignas(16) char memory[64] = {};
  const LinearArgs good = {.x = TensorView::Of(memory, DType::kBF16, {4, 8}),
                           .weight = {.data = memory, .dtype = DType::kBF16, .rows = 3, .cols = 8},
                           .out = TensorView::Of(memory, DType::kF32, {4, 3})};
  EXPECT_TRUE(TakesStreamedLinear(good));
  LinearArgs args = good;
  args.x.raw = memory + 8;
  EXPECT_FALSE(TakesStreamedLinear(args));
  args = good;
  args.x.row_stride = 12;
  EXPECT_FALSE(TakesStreamedLinear(args));
  args = good;
  args.weight.data = memory + 2;
  EXPECT_FALSE(TakesStreamedLinear(args));
  args = good;
  args.weight.cols = 12;
  EXPECT_FALSE(TakesStreamedLinear(args));
  args = good;
  args.x.dtype = args.weight.dtype = DType::kF32;
  EXPECT_FALSE(TakesStreamedLinear(args));
  args = good;
  args.x.shape[0] = kMaxStreamedRows + 1;
  EXPECT_FALSE(TakesStreamedLinear(args));
}

}  // namespace
}  // namespace winnow::cuda
