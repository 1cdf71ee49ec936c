#include "kernels/cpu/linear.h"

#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/check.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using winnow::testing::ExactFloats;
using winnow::testing::ForEachTarget;
using winnow::testing::Identical;
using winnow::testing::LanesOf;
using winnow::testing::Near;
using winnow::testing::PoisonedBuffer;
using winnow::testing::RandomFloats;

struct Shape {
  int64_t t, n, k;
};
std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "T " << s.t << ", N " << s.n << ", K " << s.k;
}

// Nothing, one, odd, around the tiles' and the blocks' edges (3, 4, 6, 8 rows; 144 columns; 1024 of
// the depth).
const Shape kShapes[] = {
    {0, 5, 7},     {1, 0, 7},     {1, 1, 0},      {1, 1, 1},       {2, 3, 2},
    {3, 9, 5},     {4, 7, 16},    {5, 8, 33},     {6, 25, 31},     {7, 24, 64},
    {8, 23, 100},  {9, 5, 48},    {10, 4, 17},    {11, 13, 1},     {12, 3, 96},
    {13, 1, 40},   {17, 145, 19}, {64, 150, 50},  {67, 147, 3},    {70, 301, 65},
    {1, 19, 1025}, {8, 5, 2049},  {20, 17, 1024}, {14, 150, 1030}, {65, 6, 3073}};
const DType kDTypes[] = {DType::kBF16, DType::kF16, DType::kF32};

// A weight of one of the dtypes, as bytes at an address that is a multiple of 2 only.
class Weight {
 public:
  // Every value must be exact in `dtype`.
  Weight(DType dtype, int64_t rows, int64_t cols, std::span<const float> values)
      : bytes_(rows * cols * DTypeBytes(dtype) + 2) {
    matrix_.data = bytes_.data() + 2;
    matrix_.dtype = dtype;
    matrix_.rows = rows;
    matrix_.cols = cols;
    for (size_t i = 0; i < values.size(); ++i) Put(i, values[i]);
  }

  WeightMatrix matrix() const { return matrix_; }

 private:
  void Put(int64_t i, float value) {
    std::byte* to = bytes_.data() + 2 + i * DTypeBytes(matrix_.dtype);
    if (matrix_.dtype == DType::kF32) {
      std::memcpy(to, &value, 4);
      return;
    }
    const uint16_t bits = matrix_.dtype == DType::kBF16 ? ToBF16(value).bits : F16Bits(value);
    std::memcpy(to, &bits, 2);
  }
  // For normal numbers that are exact in f16, and zero.
  static uint16_t F16Bits(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000;
    if (value == 0) return static_cast<uint16_t>(sign);
    return static_cast<uint16_t>(sign | ((((bits >> 23) & 0xff) - 112) << 10) |
                                 ((bits >> 13) & 0x3ff));
  }

  std::vector<std::byte> bytes_;
  WeightMatrix matrix_;
};

// A view of rows that begin `stride` floats apart.
TensorView Strided(float* data, int64_t rows, int64_t cols, int64_t stride) {
  TensorView view = TensorView::Of(data, DType::kF32, {rows, cols});
  view.row_stride = stride;
  return view;
}

std::vector<double> Reference(const Shape& s, std::span<const float> x, std::span<const float> w,
                              const float* bias) {
  std::vector<double> out(s.t * s.n);
  for (int64_t t = 0; t < s.t; ++t) {
    for (int64_t n = 0; n < s.n; ++n) {
      double sum = bias == nullptr ? 0 : bias[n];
      for (int64_t k = 0; k < s.k; ++k) sum += double{x[t * s.k + k]} * w[n * s.k + k];
      out[t * s.n + n] = sum;
    }
  }
  return out;
}

void RunLinear(ThreadPool& pool, const Shape& s, float* x, const WeightMatrix& w, float* out) {
  Linear(pool, {.x = TensorView::Of(x, DType::kF32, {s.t, s.k}),
                .weight = w,
                .out = TensorView::Of(out, DType::kF32, {s.t, s.n})});
}

// Sums are exact in any order here: the result must be right to the last bit.
TEST(LinearTest, ExactInputsGiveExactResults) {
  ThreadPool pool(2);
  uint64_t seed = 1;
  ForEachTarget([&] {
    for (const Shape& s : kShapes) {
      for (const DType dtype : kDTypes) {
        SCOPED_TRACE(DTypeName(dtype));
        std::vector<float> x = ExactFloats(s.t * s.k, ++seed);
        const std::vector<float> w = ExactFloats(s.n * s.k, ++seed);
        const std::vector<float> bias = ExactFloats(s.n, ++seed);
        const Weight weight(dtype, s.n, s.k, w);
        for (const bool with_bias : {false, true}) {
          WeightMatrix matrix = weight.matrix();
          if (with_bias) matrix.bias = bias.data();
          PoisonedBuffer out(s.t * s.n, 1);
          RunLinear(pool, s, x.data(), matrix, out.data());
          EXPECT_TRUE(Near(out.span(), Reference(s, x, w, matrix.bias), {})) << s;
          EXPECT_TRUE(out.GuardsIntact()) << s;
        }
      }
    }
  });
}

TEST(LinearTest, RandomInputsAgreeWithFloat64) {
  ThreadPool pool(2);
  ForEachTarget([&](int64_t target) {
    for (const Shape s : {Shape{1, 50, 1024}, Shape{8, 20, 1000}, Shape{50, 30, 999}}) {
      std::vector<float> x = RandomFloats(s.t * s.k, 3);
      const std::vector<float> w = RandomFloats(s.n * s.k, 4);
      PoisonedBuffer out(s.t * s.n);
      RunLinear(pool, s, x.data(), Weight(DType::kF32, s.n, s.k, w).matrix(), out.data());
      // A lane's partial sums grow like sqrt(i / 9) (products of two uniform numbers), and each is
      // rounded by up to 2^-24 of itself: a standard deviation of 2^-24 / sqrt(3) * K / sqrt(18
      // lanes). Five of those.
      const double sigma = 0x1p-24 / std::sqrt(3) * s.k / std::sqrt(18 * LanesOf(target));
      EXPECT_TRUE(Near(out.span(), Reference(s, x, w, nullptr), {.absolute = 5 * sigma})) << s;
    }
  });
}

// Each row alone, in batches of every size and at every place: the same bits.
TEST(LinearTest, RowsDoNotDependOnTheirBatch) {
  ThreadPool pool(2);
  constexpr int64_t kRows = 71, kN = 35;
  ForEachTarget([&] {
    for (const int64_t k : {31, 1024, 2823}) {
      std::vector<float> x = RandomFloats(kRows * k, 5);
      const Weight weight(DType::kBF16, kN, k, RandomFloats(kN * k, 6));
      PoisonedBuffer alone(kRows * kN);
      for (int64_t t = 0; t < kRows; ++t) {
        RunLinear(pool, {1, kN, k}, x.data() + t * k, weight.matrix(), alone.data() + t * kN);
      }
      for (const int64_t batch : {2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 19, 20, 21, 23, 33, 64, 70}) {
        const int64_t first = kRows - batch;
        PoisonedBuffer out(batch * kN);
        RunLinear(pool, {batch, kN, k}, x.data() + first * k, weight.matrix(), out.data());
        EXPECT_TRUE(Identical(out.span(), alone.span().subspan(first * kN))) << "T " << batch;
      }
    }
  });
}

TEST(LinearTest, ColumnsAndThreadsDoNotMatter) {
  ThreadPool one(1);
  const Shape s{140, 331, 100};
  std::vector<float> x = RandomFloats(s.t * s.k, 7);
  const Weight weight(DType::kF16, s.n, s.k, ExactFloats(s.n * s.k, 8));
  ForEachTarget([&] {
    for (const int64_t t : {int64_t{1}, int64_t{13}, s.t}) {
      PoisonedBuffer expected(t * s.n);
      RunLinear(one, {t, s.n, s.k}, x.data(), weight.matrix(), expected.data());
      for (const int threads : {2, 3, 7}) {
        ThreadPool pool(threads);
        PoisonedBuffer out(t * s.n);
        RunLinear(pool, {t, s.n, s.k}, x.data(), weight.matrix(), out.data());
        EXPECT_TRUE(Identical(out.span(), expected.span())) << threads << " threads, T " << t;
      }
      // The first 17 columns alone.
      WeightMatrix few = weight.matrix();
      few.rows = 17;
      PoisonedBuffer out(t * 17);
      RunLinear(one, {t, 17, s.k}, x.data(), few, out.data());
      for (int64_t i = 0; i < t; ++i) {
        EXPECT_TRUE(
            Identical(out.span().subspan(i * 17, 17), expected.span().subspan(i * s.n, 17)));
      }
    }
  });
}

// Weights do not depend on their format: what is exact in bf16 gives the same bits as float32.
TEST(LinearTest, FormatsAgreeToTheBit) {
  ThreadPool pool(2);
  ForEachTarget([&] {
    for (const Shape s : {Shape{1, 20, 1100}, Shape{30, 20, 1100}}) {
      std::vector<float> x = RandomFloats(s.t * s.k, 9);
      const std::vector<float> w = ExactFloats(s.n * s.k, 10);
      PoisonedBuffer expected(s.t * s.n);
      RunLinear(pool, s, x.data(), Weight(DType::kF32, s.n, s.k, w).matrix(), expected.data());
      for (const DType dtype : {DType::kBF16, DType::kF16}) {
        PoisonedBuffer out(s.t * s.n);
        RunLinear(pool, s, x.data(), Weight(dtype, s.n, s.k, w).matrix(), out.data());
        EXPECT_TRUE(Identical(out.span(), expected.span())) << DTypeName(dtype);
      }
    }
  });
}

// What lies between the rows of x is never used (here: NaN), and what lies between the rows of out
// is never written.
TEST(LinearTest, RowsMayBeStrided) {
  ThreadPool pool(2);
  ForEachTarget([&] {
    for (const int64_t t : {1, 7, 29}) {
      const Shape s{t, 21, 37};
      const int64_t x_stride = s.k + 5, out_stride = s.n + 3;
      const std::vector<float> x = ExactFloats(s.t * s.k, 11);
      const std::vector<float> w = ExactFloats(s.n * s.k, 12);
      const Weight weight(DType::kBF16, s.n, s.k, w);
      PoisonedBuffer wide_x(s.t * x_stride, 1), wide_out(s.t * out_stride, 1);
      for (int64_t i = 0; i < s.t; ++i) {
        std::memcpy(wide_x.data() + i * x_stride, x.data() + i * s.k, s.k * sizeof(float));
      }
      Linear(pool, {.x = Strided(wide_x.data(), s.t, s.k, x_stride),
                    .weight = weight.matrix(),
                    .out = Strided(wide_out.data(), s.t, s.n, out_stride)});
      const std::vector<double> expected = Reference(s, x, w, nullptr);
      for (int64_t i = 0; i < s.t; ++i) {
        EXPECT_TRUE(Near(wide_out.span().subspan(i * out_stride, s.n),
                         std::span(expected).subspan(i * s.n, s.n), {}));
        for (int64_t j = s.n; j < out_stride; ++j) {
          EXPECT_TRUE(std::isnan(wide_out[i * out_stride + j])) << i << " " << j;
        }
      }
      EXPECT_TRUE(wide_out.GuardsIntact());
    }
  });
}

// Bytes that end where a page ends, before one that cannot be read.
class AtEndOfPage {
 public:
  explicit AtEndOfPage(const void* from, int64_t size) {
    const int64_t page = sysconf(_SC_PAGESIZE);
    const int64_t used = (size + page - 1) / page * page;
    map_size_ = used + page;
    map_ = static_cast<char*>(
        mmap(nullptr, map_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    WINNOW_CHECK(map_ != MAP_FAILED && mprotect(map_ + used, page, PROT_NONE) == 0);
    data_ = map_ + used - size;
    std::memcpy(data_, from, size);
  }
  ~AtEndOfPage() { munmap(map_, map_size_); }
  AtEndOfPage(const AtEndOfPage&) = delete;
  AtEndOfPage& operator=(const AtEndOfPage&) = delete;

  void* data() const { return data_; }

 private:
  char* map_;
  int64_t map_size_;
  char* data_;
};

// A mapped file may end at the end of a page: reading one byte too many would be a crash.
TEST(LinearTest, ReadsNothingBeyondItsInputs) {
  ThreadPool pool(2);
  ForEachTarget([&] {
    for (const int64_t k : {1, 15, 33, 1029}) {
      for (const int64_t t : {1, 3, 7, 15, 23, 25}) {
        const Shape s{t, 11, k};
        const std::vector<float> x = ExactFloats(s.t * s.k, 13);
        const std::vector<float> w = ExactFloats(s.n * s.k, 14);
        const AtEndOfPage x_at_end(x.data(), s.t * s.k * sizeof(float));
        const Weight weight(DType::kBF16, s.n, s.k, w);
        const AtEndOfPage w_at_end(weight.matrix().data, s.n * s.k * 2);
        WeightMatrix matrix = weight.matrix();
        matrix.data = w_at_end.data();
        PoisonedBuffer out(s.t * s.n);
        RunLinear(pool, s, static_cast<float*>(x_at_end.data()), matrix, out.data());
        EXPECT_TRUE(Near(out.span(), Reference(s, x, w, nullptr), {})) << s;
      }
    }
  });
}

// All 65536 values of both 16-bit formats, by each way of converting them.
TEST(LinearTest, EverySixteenBitValueConvertsExactly) {
  ThreadPool pool(2);
  std::vector<uint16_t> all(1 << 16);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  ForEachTarget([&] {
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      for (const int64_t t : {1, 12}) {
        // x picks element t % 32 of each row of 32.
        const Shape s{t, 2048, 32};
        std::vector<float> x(s.t * s.k, 0.0f);
        for (int64_t i = 0; i < t; ++i) x[i * s.k + (i * 5) % 32] = 1;
        WeightMatrix w;
        w.data = all.data();
        w.dtype = dtype;
        w.rows = s.n;
        w.cols = s.k;
        PoisonedBuffer out(s.t * s.n);
        RunLinear(pool, s, x.data(), w, out.data());
        for (int64_t i = 0; i < t; ++i) {
          for (int64_t n = 0; n < s.n; ++n) {
            float expected = 0;
            for (int64_t k = 0; k < s.k; ++k) {
              const uint16_t bits = all[n * s.k + k];
              const float value = dtype == DType::kBF16 ? ToFloat(BF16{bits}) : ToFloat(F16{bits});
              expected += x[i * s.k + k] * value;
            }
            const float actual = out[i * s.n + n];
            ASSERT_TRUE(actual == expected || (std::isnan(actual) && std::isnan(expected)))
                << DTypeName(dtype) << " row " << n << ": " << actual << " for " << expected;
          }
        }
      }
    }
  });
}

TEST(LinearTest, AFaultyRowStaysAlone) {
  ThreadPool pool(2);
  const Shape s{20, 40, 70};
  std::vector<float> x = ExactFloats(s.t * s.k, 15);
  const std::vector<float> w = ExactFloats(s.n * s.k, 16);
  const Weight weight(DType::kBF16, s.n, s.k, w);
  PoisonedBuffer expected(s.t * s.n);
  RunLinear(pool, s, x.data(), weight.matrix(), expected.data());
  x[7 * s.k + 69] = std::numeric_limits<float>::quiet_NaN();
  ForEachTarget([&] {
    PoisonedBuffer out(s.t * s.n);
    RunLinear(pool, s, x.data(), weight.matrix(), out.data());
    for (int64_t t = 0; t < s.t; ++t) {
      if (t != 7) {
        EXPECT_TRUE(
            Identical(out.span().subspan(t * s.n, s.n), expected.span().subspan(t * s.n, s.n)));
      } else {
        for (int64_t n = 0; n < s.n; ++n) EXPECT_TRUE(std::isnan(out[t * s.n + n]));
      }
    }
  });
}

TEST(LinearDeathTest, ShapesAndFormatsAreChecked) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  ThreadPool pool(1);
  std::vector<float> x(8), out(8);
  Weight weight(DType::kBF16, 2, 4, std::vector<float>(8));
  EXPECT_DEATH(RunLinear(pool, {2, 2, 3}, x.data(), weight.matrix(), out.data()), "x of 3");
  EXPECT_DEATH(RunLinear(pool, {2, 3, 4}, x.data(), weight.matrix(), out.data()), "out of 3");
  WeightMatrix odd = weight.matrix();
  odd.dtype = DType::kI32;
  EXPECT_DEATH(RunLinear(pool, {2, 2, 4}, x.data(), odd, out.data()), "I32 weights");
}

}  // namespace
}  // namespace winnow::cpu
