#include "kernels/testing/compare.h"

#include <cmath>
#include <cstddef>
#include <sstream>
#include <string>

namespace winnow::testing {
namespace {

constexpr int kMaxShown = 5;

bool IsPoison(float x) { return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(kPoison); }

bool ValueNear(double actual, double expected, Tolerance tolerance) {
  if (std::isnan(expected)) return std::isnan(actual);
  if (std::isinf(expected) || std::isinf(actual)) return actual == expected;
  // Written so that a NaN in `actual` fails.
  return std::abs(actual - expected) <=
         tolerance.absolute + tolerance.relative * std::abs(expected);
}

template <typename Expected, typename Agree>
::testing::AssertionResult Compare(std::span<const float> actual,
                                   std::span<const Expected> expected, Agree agree) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure()
           << actual.size() << " elements where " << expected.size() << " were expected";
  }
  int64_t num_different = 0;
  std::ostringstream shown;
  shown.precision(9);
  for (size_t i = 0; i < actual.size(); ++i) {
    const bool poison = IsPoison(actual[i]);
    if (!poison && agree(actual[i], expected[i])) continue;
    if (num_different++ >= kMaxShown) continue;
    shown << "\n  [" << i << "] ";
    if (poison) {
      shown << "was never written";
    } else {
      shown << actual[i] << " (bits 0x" << std::hex << std::bit_cast<uint32_t>(actual[i])
            << std::dec << ")";
    }
    shown << ", expected " << expected[i];
  }
  if (num_different == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << num_different << " of " << actual.size() << " elements differ:" << shown.str();
}

}  // namespace

::testing::AssertionResult Near(std::span<const float> actual, std::span<const double> expected,
                                Tolerance tolerance) {
  return Compare(actual, expected, [&](float a, double e) { return ValueNear(a, e, tolerance); });
}

::testing::AssertionResult Near(std::span<const float> actual, std::span<const float> expected,
                                Tolerance tolerance) {
  return Compare(actual, expected, [&](float a, float e) { return ValueNear(a, e, tolerance); });
}

::testing::AssertionResult Identical(std::span<const float> actual,
                                     std::span<const float> expected) {
  return Compare(actual, expected, [](float a, float e) {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(e);
  });
}

}  // namespace winnow::testing
