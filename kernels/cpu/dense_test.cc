#include "kernels/cpu/dense.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/strided_rows.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/drawn_token.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using ::winnow::testing::ForEachTarget;
using ::winnow::testing::Identical;
using ::winnow::testing::Near;
using ::winnow::testing::RandomFloats;

constexpr int64_t kRowCounts[] = {0, 1, 3, 70};
constexpr int64_t kWidths[] = {1, 7, 16, 67, 1024 + 3, 5000};

double ExactSilu(double x) { return x / (1 + std::exp(-x)); }

double InverseRms(const float* x, int64_t n, double eps) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  return 1 / std::sqrt(sum / static_cast<double>(n) + eps);
}

// Calls check(pool, num_rows, width) for all shapes, numbers of threads and targets.
template <typename Check>
void ForAll(const Check& check) {
  for (const int num_threads : {1, 3}) {
    ThreadPool pool(num_threads);
    ForEachTarget([&] {
      for (const int64_t rows : kRowCounts) {
        for (const int64_t width : kWidths) {
          SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", " << num_threads);
          check(pool, rows, width);
        }
      }
    });
  }
}

std::vector<uint32_t> RandomTokens(int64_t size, uint32_t vocab) {
  std::mt19937 rng(3);
  std::vector<uint32_t> tokens(size);
  for (uint32_t& t : tokens) t = rng() % vocab;
  return tokens;
}

// A table of every bit pattern, 2 bytes off any larger alignment.
template <typename T>
void CheckEmbed(ThreadPool& pool, int64_t rows, int64_t width) {
  constexpr int64_t kVocab = 11;
  std::mt19937 rng(4);
  std::vector<uint16_t> memory(1 + kVocab * width * sizeof(T) / 2);
  for (uint16_t& bits : memory) bits = rng();
  const auto value = [&](int64_t i) {
    T x;
    std::memcpy(&x, memory.data() + 1 + i * sizeof(T) / 2, sizeof(T));
    return ToFloat(x);
  };
  const std::vector<uint32_t> tokens = RandomTokens(rows, kVocab);
  StridedRows out({rows, width});
  Embed(pool, {.table = {.data = memory.data() + 1,
                         .dtype = DTypeOf<T>::value,
                         .rows = kVocab,
                         .cols = width},
               .tokens = tokens.data(),
               .out = out.view()});
  std::vector<float> expected;
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < width; ++i) expected.push_back(value(tokens[t] * width + i));
  }
  EXPECT_TRUE(Identical(out.Values(), expected));
  EXPECT_TRUE(out.GapsIntact());
}

TEST(EmbedTest, CopiesRowsOfEveryFormat) {
  ForAll([](ThreadPool& pool, int64_t rows, int64_t width) {
    CheckEmbed<BF16>(pool, rows, width);
    CheckEmbed<F16>(pool, rows, width);
    CheckEmbed<float>(pool, rows, width);
  });
}

TEST(EmbedTest, TokensMayBeWhatWasDrawn) {
  ThreadPool pool(1);
  const std::vector<float> table = {10, 11, 12};
  const std::vector<uint32_t> tokens = {DrawnToken(2), 1, DrawnToken(0)}, drawn = {2, 9, 0};
  StridedRows out({3, 1});
  Embed(pool, {.table = {.data = table.data(), .dtype = DType::kF32, .rows = 3, .cols = 1},
               .tokens = tokens.data(),
               .drawn = drawn.data(),
               .out = out.view()});
  EXPECT_TRUE(Identical(out.Values(), std::vector<float>{10, 11, 12}));
}

TEST(EmbedDeathTest, TokenBeyondTheVocabulary) {
  ThreadPool pool(1);
  const std::vector<float> table(6);
  const std::vector<uint32_t> tokens = {1, 2};
  StridedRows out({2, 3});
  const EmbedArgs args = {
      .table = {.data = table.data(), .dtype = DType::kF32, .rows = 2, .cols = 3},
      .tokens = tokens.data(),
      .out = out.view()};
  EXPECT_DEATH(Embed(pool, args), "2 of 2");
}

TEST(RmsNormTest, AgreesWithTheDefinition) {
  ForAll([](ThreadPool& pool, int64_t rows, int64_t width) {
    const std::vector<float> input = RandomFloats(rows * width, 1, -3, 4);
    const std::vector<float> delta = RandomFloats(rows * width, 2, -1, 1);
    const std::vector<float> weight = RandomFloats(width, 3, -2, 2);
    for (const bool has_delta : {false, true}) {
      StridedRows x({rows, width}), d({rows, width}), out({rows, width});
      x.Fill(input);
      d.Fill(delta);
      RmsNorm(pool, {.x = x.view(),
                     .delta = has_delta ? d.view() : TensorView(),
                     .weight = weight.data(),
                     .eps = 1e-3f,
                     .out = out.view()});
      std::vector<float> sum = input;
      for (size_t i = 0; has_delta && i < sum.size(); ++i) sum[i] += delta[i];
      EXPECT_TRUE(Identical(x.Values(), sum));
      std::vector<double> expected;
      for (int64_t t = 0; t < rows; ++t) {
        const double scale = InverseRms(&sum[t * width], width, 1e-3f);
        for (int64_t i = 0; i < width; ++i) {
          expected.push_back(sum[t * width + i] * scale * weight[i]);
        }
      }
      EXPECT_TRUE(Near(out.Values(), expected, {.relative = 1e-6}));
      EXPECT_TRUE(x.GapsIntact() && d.GapsIntact() && out.GapsIntact());
    }
  });
}

TEST(RmsNormTest, ZeroRowStaysZeroAndNaNStaysInItsRow) {
  ThreadPool pool(2);
  StridedRows x({3, 40}), out({3, 40});
  x.Fill(std::vector<float>(120, 0));
  x.view().row<float>(1)[17] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> weight(40, 1);
  RmsNorm(pool,
          {.x = x.view(), .delta = {}, .weight = weight.data(), .eps = 1e-6f, .out = out.view()});
  EXPECT_TRUE(Identical(out.Values(0, 1), std::vector<float>(40, 0)));
  for (const float y : out.Values(1, 2)) EXPECT_TRUE(std::isnan(y));
  EXPECT_TRUE(Identical(out.Values(2, 3), std::vector<float>(40, 0)));
}

// Against long double: float64 angles keep the error of cos and sin at what rounding the angle in
// float64 makes of it.
TEST(RopeTableTest, AgreesWithLongDoubleFarOut) {
  const std::vector<int64_t> positions = {0,      1,         63,          4096,
                                          50'000, 1'000'000, 999'999'999, 1'000'000'000};
  const int64_t rows = positions.size();
  for (const int num_threads : {1, 3}) {
    ThreadPool pool(num_threads);
    for (const double theta : {10'000.0, 500'000.0, 10'000'000.0}) {
      for (const int64_t half : {1, 8, 32, 64}) {
        StridedRows table({rows, 2, half});
        RopeTable(pool, {.positions = positions.data(), .theta = theta, .cos_sin = table.view()});
        for (int64_t t = 0; t < rows; ++t) {
          std::vector<double> expected(2 * half);
          for (int64_t i = 0; i < half; ++i) {
            const long double angle = positions[t] * std::pow(static_cast<long double>(theta),
                                                              -static_cast<long double>(i) /
                                                                  static_cast<long double>(half));
            expected[i] = static_cast<double>(std::cos(angle));
            expected[half + i] = static_cast<double>(std::sin(angle));
          }
          // Rounding the result, and the angle's two roundings (frequency and product).
          const double error = 0x1p-24 + 3 * 0x1p-53 * static_cast<double>(positions[t]);
          EXPECT_TRUE(Near(table.Values(t, t + 1), expected, {.absolute = error}))
              << "position " << positions[t] << ", theta " << theta;
        }
        EXPECT_TRUE(table.GapsIntact());
      }
    }
  }
}

TEST(RopeTest, TurnsPairs) {
  ForAll([](ThreadPool& pool, int64_t rows, int64_t width) {
    const int64_t half = width % 100;
    const int64_t heads = 3;
    const std::vector<float> angles = RandomFloats(rows * half, 5, -4, 4);
    const std::vector<float> input = RandomFloats(rows * heads * 2 * half, 6, -2, 2);
    StridedRows table({rows, 2, half}), x({rows, heads, 2 * half});
    std::vector<float> cos_sin(rows * 2 * half);
    std::vector<double> expected(input.begin(), input.end());
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t i = 0; i < half; ++i) {
        const float c = cos_sin[t * 2 * half + i] = std::cos(angles[t * half + i]);
        const float s = cos_sin[(t * 2 + 1) * half + i] = std::sin(angles[t * half + i]);
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t at = (t * heads + h) * 2 * half + i;
          expected[at] = double{input[at]} * c - double{input[at + half]} * s;
          expected[at + half] = double{input[at]} * s + double{input[at + half]} * c;
        }
      }
    }
    table.Fill(cos_sin);
    x.Fill(input);
    Rope(pool, {.cos_sin = table.view(), .x = x.view()});
    EXPECT_TRUE(Near(x.Values(), expected, {.absolute = 5e-7}));
    EXPECT_TRUE(x.GapsIntact() && table.GapsIntact());
  });
}

TEST(SwiGluTest, AgreesAndMayWriteIntoItsInputs) {
  ForAll([](ThreadPool& pool, int64_t rows, int64_t width) {
    const std::vector<float> gates = RandomFloats(rows * width, 7, -20, 20);
    const std::vector<float> ups = RandomFloats(rows * width, 8, -2, 2);
    std::vector<double> expected;
    for (size_t i = 0; i < gates.size(); ++i) expected.push_back(ExactSilu(gates[i]) * ups[i]);
    for (const int target : {0, 1, 2}) {
      StridedRows gate({rows, width}), up({rows, width}), out({rows, width});
      gate.Fill(gates);
      up.Fill(ups);
      StridedRows& written = target == 0 ? out : target == 1 ? gate : up;
      SwiGlu(pool, {.gate = gate.view(), .up = up.view(), .out = written.view()});
      EXPECT_TRUE(Near(written.Values(), expected, {.relative = 4e-7}));
      EXPECT_TRUE(gate.GapsIntact() && up.GapsIntact() && out.GapsIntact());
    }
  });
}

// Over the whole range where the result is a normal number: an error of 2 units in the last place
// and the rounding of the quotient.
TEST(SiluTest, AccurateOverTheWholeRange) {
  constexpr int64_t kWidth = 200'001;
  ThreadPool pool(2);
  std::vector<float> input(kWidth);
  for (int64_t i = 0; i < kWidth; ++i) input[i] = -87.0f + 187.0f * i / kWidth;
  std::vector<double> expected;
  for (const float x : input) expected.push_back(ExactSilu(x));
  ForEachTarget([&] {
    StridedRows x({1, kWidth});
    x.Fill(input);
    Silu(pool, {.x = x.view()});
    EXPECT_TRUE(Near(x.Values(), expected, {.relative = 2.5 * 0x1p-23, .absolute = 1e-36}));
    EXPECT_TRUE(x.GapsIntact());
  });
}

TEST(SiluTest, Extremes) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  ThreadPool pool(1);
  ForEachTarget([&] {
    StridedRows x({6, 1});
    x.Fill(std::vector<float>{0, -kInf, kInf, -1e30f, 1e30f, std::nanf("")});
    Silu(pool, {.x = x.view()});
    const std::vector<float> y = x.Values();
    EXPECT_EQ(y[0], 0);
    EXPECT_TRUE(std::isnan(y[1]));  // -inf * 0, as the definition has it
    EXPECT_EQ(y[2], kInf);
    EXPECT_NEAR(y[3], 0, 1e-36);
    EXPECT_EQ(y[4], 1e30f);
    EXPECT_TRUE(std::isnan(y[5]));
  });
}

TEST(GatedRmsNormTest, AgreesWithTheDefinition) {
  ForAll([](ThreadPool& pool, int64_t rows, int64_t width) {
    const int64_t heads = 3;
    const std::vector<float> input = RandomFloats(rows * heads * width, 9, -3, 4);
    const std::vector<float> gates = RandomFloats(rows * heads * width, 10, -9, 9);
    const std::vector<float> weight = RandomFloats(width, 11, -2, 2);
    for (const bool has_gate : {false, true}) {
      StridedRows o({rows, heads, width}), gate({rows, heads, width});
      o.Fill(input);
      gate.Fill(gates);
      GatedRmsNorm(pool, {.o = o.view(),
                          .weight = weight.data(),
                          .eps = 1e-5f,
                          .gate = has_gate ? gate.view() : TensorView()});
      std::vector<double> expected;
      for (int64_t r = 0; r < rows * heads; ++r) {
        const double scale = InverseRms(&input[r * width], width, 1e-5f);
        for (int64_t i = 0; i < width; ++i) {
          const double factor = has_gate ? ExactSilu(gates[r * width + i]) : 1;
          expected.push_back(input[r * width + i] * scale * weight[i] * factor);
        }
      }
      EXPECT_TRUE(Near(o.Values(), expected, {.relative = 1.2e-6}));
      EXPECT_TRUE(o.GapsIntact() && gate.GapsIntact());
    }
  });
}

TEST(GatherRowsTest, CopiesRowsInAnyOrder) {
  ForAll([](ThreadPool& pool, int64_t rows, int64_t width) {
    const int64_t source_rows = 9;
    const std::vector<float> input = RandomFloats(source_rows * width, 12);
    std::mt19937 rng(13);
    std::vector<int32_t> indices(rows);
    for (int32_t& i : indices) i = rng() % source_rows;
    StridedRows x({source_rows, width}), out({rows, width});
    x.Fill(input);
    GatherRows(pool, {.x = x.view(), .rows = indices.data(), .out = out.view()});
    std::vector<float> expected;
    for (const int32_t i : indices) {
      expected.insert(expected.end(), &input[i * width], &input[i * width] + width);
    }
    EXPECT_TRUE(Identical(out.Values(), expected));
    EXPECT_TRUE(out.GapsIntact());
  });
}

// A row's bits, alone and as one of many, with any number of threads.
TEST(DenseTest, RowsDoNotDependOnTheirNeighbours) {
  constexpr int64_t kRows = 37, kWidth = 333;
  const std::vector<float> input = RandomFloats(kRows * kWidth, 14, -5, 5);
  const std::vector<float> weight = RandomFloats(kWidth, 15);
  const auto run = [&](int num_threads, int64_t begin, int64_t end) {
    ThreadPool pool(num_threads);
    StridedRows x({end - begin, kWidth}), normed({end - begin, kWidth}), out({end - begin, kWidth});
    x.Fill({&input[begin * kWidth], static_cast<size_t>((end - begin) * kWidth)});
    RmsNorm(
        pool,
        {.x = x.view(), .delta = {}, .weight = weight.data(), .eps = 1e-6f, .out = normed.view()});
    SwiGlu(pool, {.gate = normed.view(), .up = x.view(), .out = out.view()});
    Silu(pool, {.x = out.view()});
    GatedRmsNorm(pool, {.o = out.view().Rows({3, kWidth / 3}),
                        .weight = weight.data(),
                        .eps = 1e-6f,
                        .gate = normed.view().Rows({3, kWidth / 3})});
    return out.Values();
  };
  ForEachTarget([&] {
    const std::vector<float> all = run(1, 0, kRows);
    EXPECT_TRUE(Identical(run(2, 0, kRows), all));
    EXPECT_TRUE(Identical(run(7, 0, kRows), all));
    for (const int64_t row : {0, 5, 36}) {
      const std::vector<float> expected(all.begin() + row * kWidth,
                                        all.begin() + (row + 1) * kWidth);
      EXPECT_TRUE(Identical(run(3, row, row + 1), expected));
    }
  });
}

}  // namespace
}  // namespace winnow::cpu
