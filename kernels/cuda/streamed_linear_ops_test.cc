// The streaming and the skinny product, launched directly in every variant, against the CPU's:
// numbers whose sums are exact in any order, so results must be right to the last bit; outputs
// poisoned.
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/skinny_linear.h"
#include "kernels/cuda/streamed_linear.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::testing::ExactFloats;
using ::winnow::testing::Identical;

CudaBackend& Cuda() { return static_cast<CudaBackend&>(CudaFor(DType::kBF16)); }

// Exact numbers for a product whose rows of x and of out may lie further apart than they are long.
struct Product {
  int64_t rows = 0, outputs = 0, inputs = 0;
  int64_t x_gap = 0, out_gap = 0;

  std::vector<float> X() const { return ExactFloats(rows * (inputs + x_gap), 1000 * rows); }
  std::vector<float> Weight() const { return ExactFloats(outputs * inputs, 1000 * outputs); }
};

// Its operands in a backend's memory.
class Operands {
 public:
  Operands(Backend& backend, DType dtype, const Product& product)
      : backend_(backend),
        product_(product),
        x_(backend, dtype, {product.rows, product.inputs + product.x_gap}, product.X()),
        weight_(backend, dtype, {product.outputs, product.inputs}, product.Weight()) {}

  // Everything between and in the rows of out after `launch`, poison where it wrote nothing.
  template <typename Launch>
  std::vector<float> Run(DType out_dtype, const Launch& launch) const {
    const TestTensor out(backend_, out_dtype, {product_.rows, product_.outputs + product_.out_gap});
    LinearArgs args = {.x = x_,
                       .weight = {.data = weight_.view().raw,
                                  .dtype = weight_.view().dtype,
                                  .rows = product_.outputs,
                                  .cols = product_.inputs},
                       .out = out};
    args.x.shape[1] = product_.inputs;
    args.out.shape[1] = product_.outputs;
    launch(args);
    return out.Read();
  }

 private:
  Backend& backend_;
  const Product product_;
  const TestTensor x_, weight_;
};

std::vector<float> Expected(const Product& product) {
  return Operands(Cpu(), DType::kF32, product).Run(DType::kF32, [](const LinearArgs& args) {
    EXPECT_TRUE(Cpu().Linear(args).ok());
  });
}

std::vector<float> Rounded(std::vector<float> values, DType dtype) {
  for (float& x : values) {
    if (dtype == DType::kBF16 && !std::isnan(x)) x = ToFloat(ToBF16(x));
  }
  return values;
}

// To the bit, poison too.
void ExpectSame(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  int shown = 0;
  for (size_t i = 0; i < actual.size() && shown < 5; ++i) {
    if (std::bit_cast<uint32_t>(actual[i]) == std::bit_cast<uint32_t>(expected[i])) continue;
    ADD_FAILURE() << "at " << i << ": " << actual[i] << ", expected " << expected[i];
    ++shown;
  }
}

const std::vector<int64_t>& RowCounts() {
  static const std::vector<int64_t> counts = {1, 2, 7, 8, 9, 16, 17, 32, 33, 63, 64, 65, 127, 128};
  return counts;
}

// Rows on both sides of every size of tile, every split, both types of result; outputs and inputs
// that fill no tile, fewer pieces than blocks, rings gone through several times.
TEST(StreamedLinear, IsExactInEverySplit) {
  for (const auto& [outputs, inputs] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 8}, {97, 72}, {128, 64}, {129, 512}, {260, 1000}, {384, 4104}}) {
    for (const int64_t rows : RowCounts()) {
      // Rows of out that begin aligned to four elements, and that do not.
      const Product product = {rows, outputs, inputs, 8, rows % 3};
      const Operands operands(Cuda(), DType::kBF16, product);
      const std::vector<float> expected = Expected(product);
      for (const DType out : {DType::kF32, DType::kBF16}) {
        for (int split = 1; split <= kMaxStreamedSplit; ++split) {
          SCOPED_TRACE(::testing::Message() << rows << " rows, " << outputs << " x " << inputs
                                            << ", split " << split << ", " << DTypeName(out));
          const auto actual = operands.Run(out, [split](const LinearArgs& args) {
            EXPECT_EQ(LaunchStreamedLinear(args, split, Cuda().stream()), cudaSuccess);
          });
          ExpectSame(actual, Rounded(expected, out));
        }
      }
    }
  }
}

TEST(SkinnyLinear, IsExactInEveryAlignment) {
  for (const auto& [outputs, inputs] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {3, 5}, {97, 64}, {20, 97}, {130, 512}, {33, 4104}, {9, 9000}}) {
    for (const int64_t rows : {1, 2, 3, 4, 5, 8, 17}) {
      const Product product = {rows, outputs, inputs, rows % 2 * 8, rows % 3};
      const std::vector<float> expected = Expected(product);
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        const Operands operands(Cuda(), dtype, product);
        for (const DType out : {DType::kF32, DType::kBF16}) {
          SCOPED_TRACE(::testing::Message()
                       << rows << " rows, " << outputs << " x " << inputs << ", "
                       << DTypeName(dtype) << " to " << DTypeName(out));
          const auto actual = operands.Run(out, [](const LinearArgs& args) {
            EXPECT_EQ(LaunchSkinnyLinear(args, Cuda().stream()), cudaSuccess);
          });
          ExpectSame(actual, Rounded(expected, out));
        }
      }
    }
  }
}

// Products launched early wait for the rows that the one before writes, and do not overwrite what
// it still reads: each moves every row on by one place, two arrays take turns.
void ExpectChainMoves(int64_t rows, int64_t size, int length,
                      const std::function<cudaError_t(const LinearArgs&)>& launch) {
  std::vector<float> shift(size * size);
  for (int64_t i = 0; i < size; ++i) shift[(i + 1) % size * size + i] = 1;
  const std::vector<float> x = ExactFloats(rows * size, 20);
  const TestTensor weight(Cuda(), DType::kBF16, {size, size}, shift);
  const TestTensor even(Cuda(), DType::kBF16, {rows, size}, x);
  const TestTensor odd(Cuda(), DType::kBF16, {rows, size});
  for (int i = 0; i < length; ++i) {
    ASSERT_EQ(
        launch({.x = i % 2 == 0 ? even : odd,
                .weight =
                    {.data = weight.view().raw, .dtype = DType::kBF16, .rows = size, .cols = size},
                .out = i % 2 == 0 ? odd : even}),
        cudaSuccess);
  }
  std::vector<float> expected(x.size());
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
    expected[i / size * size + (i + length) % size] = x[i];
  }
  EXPECT_TRUE(Identical((length % 2 == 0 ? even : odd).Read(), expected)) << rows << " rows";
}

TEST(StreamedLinear, ChainsWaitForEachOther) {
  for (const int64_t rows : {1, 16, 64, 128}) {
    for (const int split : {1, 3, 8}) {
      ExpectChainMoves(rows, 1536, 101, [split](const LinearArgs& args) {
        return LaunchStreamedLinear(args, split, Cuda().stream());
      });
    }
  }
}

TEST(SkinnyLinear, ChainsWaitForEachOther) {
  ExpectChainMoves(3, 1536, 101, [](const LinearArgs& args) {
    return LaunchSkinnyLinear(args, Cuda().stream());
  });
}

// The same rows among others, in each size of tile: the same bits, as long as the split is.
TEST(StreamedLinear, ARowsBitsDoNotDependOnItsNeighbours) {
  constexpr int64_t kOutputs = 200, kInputs = 1096;
  const std::vector<float> x = RandomFor(DType::kBF16, kMaxStreamedRows * kInputs, 21);
  const std::vector<float> w = RandomFor(DType::kBF16, kOutputs * kInputs, 22);
  const TestTensor in(Cuda(), DType::kBF16, {kMaxStreamedRows, kInputs}, x);
  const TestTensor weight(Cuda(), DType::kBF16, {kOutputs, kInputs}, w);
  const auto first_row = [&](int64_t rows) {
    const TestTensor out(Cuda(), DType::kF32, {rows, kOutputs});
    EXPECT_EQ(LaunchStreamedLinear({.x = in.view().First(rows),
                                    .weight = {.data = weight.view().raw,
                                               .dtype = DType::kBF16,
                                               .rows = kOutputs,
                                               .cols = kInputs},
                                    .out = out},
                                   4, Cuda().stream()),
              cudaSuccess);
    std::vector<float> values = out.Read();
    values.resize(kOutputs);
    return values;
  };
  const std::vector<float> alone = first_row(1);
  for (const int64_t rows : {2, 5, 8}) EXPECT_TRUE(Identical(first_row(rows), alone)) << rows;
  const std::vector<float> many = first_row(33);
  for (const int64_t rows : {40, 64}) EXPECT_TRUE(Identical(first_row(rows), many)) << rows;
}

TEST(StreamedLinear, RefusesWhatItDoesNotTake) {
  const TestTensor x(Cuda(), DType::kBF16, {2, 16}), out(Cuda(), DType::kF32, {2, 8});
  const TestTensor weight(Cuda(), DType::kBF16, {8, 16});
  LinearArgs args = {
      .x = x,
      .weight = {.data = weight.view().raw, .dtype = DType::kBF16, .rows = 8, .cols = 16},
      .out = out};
  EXPECT_EQ(LaunchStreamedLinear(args, 0, Cuda().stream()), cudaErrorInvalidValue);
  EXPECT_EQ(LaunchStreamedLinear(args, kMaxStreamedSplit + 1, Cuda().stream()),
            cudaErrorInvalidValue);
  args.weight.dtype = DType::kF32;
  EXPECT_EQ(LaunchStreamedLinear(args, 1, Cuda().stream()), cudaErrorInvalidValue);
  args.x.shape[0] = 0;
  EXPECT_EQ(LaunchStreamedLinear(args, 1, Cuda().stream()), cudaSuccess);
}

}  // namespace
}  // namespace winnow::cuda
