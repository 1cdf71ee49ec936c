#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/exp_test.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/partial-inl.h"
#include "kernels/testing/each_target.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// y[i] = f(x[i]) for a whole number of vectors.
void Apply(int function, const float* x, float* y, int64_t size) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < size; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto v = hn::LoadU(d, x + i);
    const auto result = function == 0   ? Exp(d, v)
                        : function == 1 ? Exp2Flushed(d, v)
                        : function == 2 ? Sigmoid(d, v)
                                        : Silu(d, v);
    hn::StoreU(result, d, y + i);
  }
}

// Copies the first n floats through one vector; returns the number of lanes.
int64_t CopyFirst(const float* x, float* y, int64_t n) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  if (n > 0 && n < lanes) {
    StoreFirst(LoadFirst(d, x, static_cast<size_t>(n)), d, y, static_cast<size_t>(n));
  }
  return lanes;
}

// What the lanes beyond the first n hold after LoadFirst.
void LoadRest(const float* x, int64_t n, float* all) {
  const hn::ScalableTag<float> d;
  hn::StoreU(LoadFirst(d, x, static_cast<size_t>(n)), d, all);
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::cpu {

HWY_EXPORT(Apply);
HWY_EXPORT(CopyFirst);
HWY_EXPORT(LoadRest);

namespace {

using testing::ForEachTarget;

constexpr int kExp = 0;
constexpr int kExp2Flushed = 1;
constexpr int kSigmoid = 2;
constexpr int kSilu = 3;
constexpr float kInf = std::numeric_limits<float>::infinity();

// Every float whose bits are a multiple of `stride`, NaN left out; padded to whole vectors.
std::vector<float> ManyFloats(uint32_t stride) {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += stride) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!std::isnan(value)) x.push_back(value);
  }
  while (x.size() % 64 != 0) x.push_back(0);
  return x;
}

std::vector<float> Results(int function, const std::vector<float>& x) {
  std::vector<float> y(x.size(), std::nanf(""));
  HWY_DYNAMIC_DISPATCH(Apply)(function, x.data(), y.data(), static_cast<int64_t>(x.size()));
  return y;
}

float One(int function, float x) { return Results(function, std::vector<float>(64, x))[63]; }

// Units in the last place of the float32 next to `exact`.
double UlpError(float actual, double exact) {
  if (std::isinf(actual) && std::abs(exact) > std::numeric_limits<float>::max()) return 0;
  const float magnitude =
      std::max(static_cast<float>(std::abs(exact)), std::numeric_limits<float>::min());
  const double ulp =
      std::ldexp(1.0, std::ilogb(std::min(magnitude, std::numeric_limits<float>::max())) - 23);
  return std::abs(actual - exact) / ulp;
}

template <typename Exact>
double WorstUlp(int function, const std::vector<float>& x, const Exact& exact) {
  const std::vector<float> y = Results(function, x);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = UlpError(y[i], exact(static_cast<double>(x[i])));
    if (!(error <= worst)) worst = error;
    if (std::isnan(worst)) return worst;
  }
  return worst;
}

TEST(Exp, TwoUlpEverywhere) {
  const std::vector<float> x = ManyFloats(4099);
  ForEachTarget([&] { EXPECT_LE(WorstUlp(kExp, x, [](double v) { return std::exp(v); }), 2.0); });
}

TEST(Exp, Exp2TwoUlpWhereNotFlushed) {
  std::vector<float> x = ManyFloats(4099);
  std::erase_if(x, [](float v) { return !(v >= -126 && v <= 127); });
  while (x.size() % 64 != 0) x.push_back(0);
  ForEachTarget([&] {
    EXPECT_LE(WorstUlp(kExp2Flushed, x, [](double v) { return std::exp2(v); }), 2.0);
    EXPECT_EQ(One(kExp2Flushed, -126.00001f), 0);
    EXPECT_EQ(One(kExp2Flushed, -3e38f), 0);
    EXPECT_EQ(One(kExp2Flushed, -kInf), 0);
  });
}

TEST(Exp, EdgesAreExactAndNanStays) {
  ForEachTarget([] {
    for (const int function : {kExp, kExp2Flushed}) {
      EXPECT_EQ(One(function, 0), 1);
      EXPECT_EQ(One(function, -0.0f), 1);
    }
    EXPECT_EQ(One(kExp, kInf), kInf);
    EXPECT_EQ(One(kExp, 1000), kInf);
    EXPECT_EQ(One(kExp, -kInf), 0);
    EXPECT_EQ(One(kExp, -1000), 0);
    for (const int function : {kExp, kExp2Flushed, kSigmoid, kSilu}) {
      for (const uint32_t bits : {0x7fc00000u, 0xffc00001u, 0x7fffffffu}) {
        EXPECT_TRUE(std::isnan(One(function, std::bit_cast<float>(bits)))) << function;
      }
    }
  });
}

TEST(Exp, SigmoidAndSilu) {
  std::vector<float> x = ManyFloats(40009);
  std::erase_if(x, [](float v) { return std::isinf(v); });
  while (x.size() % 64 != 0) x.push_back(0);
  ForEachTarget([&] {
    const std::vector<float> sigmoid = Results(kSigmoid, x);
    const std::vector<float> silu = Results(kSilu, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = 1 / (1 + std::exp(-static_cast<double>(x[i])));
      // Further down the exponential is infinite and the results are 0 instead of less than 1e-36.
      if (x[i] > -88) {
        ASSERT_LE(UlpError(sigmoid[i], exact), 4) << x[i];
        ASSERT_LE(UlpError(silu[i], x[i] * exact), 4) << x[i];
      } else {
        ASSERT_LE(sigmoid[i], 1e-36) << x[i];
        ASSERT_LE(std::abs(silu[i]), 1e-36) << x[i];
      }
    }
  });
}

TEST(Partial, TouchesTheFirstLanesOnly) {
  ForEachTarget([] {
    const int64_t lanes = HWY_DYNAMIC_DISPATCH(CopyFirst)(nullptr, nullptr, 0);
    for (int64_t n = 1; n < lanes; ++n) {
      // No memory behind the last float: an address sanitizer would see a read or write.
      std::vector<float> from(n);
      for (int64_t i = 0; i < n; ++i) from[i] = static_cast<float>(i + 1);
      std::vector<float> to(n, 0);
      HWY_DYNAMIC_DISPATCH(CopyFirst)(from.data(), to.data(), n);
      EXPECT_EQ(to, from);
      std::vector<float> all(64, -1);
      HWY_DYNAMIC_DISPATCH(LoadRest)(from.data(), n, all.data());
      for (int64_t i = 0; i < lanes; ++i)
        EXPECT_EQ(all[i], i < n ? from[i] : 0) << i << " of " << n;
      std::vector<float> guarded(64, -1);
      HWY_DYNAMIC_DISPATCH(CopyFirst)(from.data(), guarded.data(), n);
      for (int64_t i = 0; i < 64; ++i)
        EXPECT_EQ(guarded[i], i < n ? from[i] : -1) << i << " of " << n;
    }
  });
}

}  // namespace
}  // namespace winnow::cpu
#endif  // HWY_ONCE
