// Comparison of float arrays for tests. Its own test shows what it tells apart.
//
//   EXPECT_TRUE(Near(out.span(), expected, {.relative = 1e-6, .absolute = 1e-7}));
//   EXPECT_TRUE(Identical(out_one_thread, out_two_threads));
//
// Both fail on kPoison (kernels/testing/buffers.h fills outputs with it) wherever it stands: it
// means "never written". A failure names how many elements differ and shows the first ones.
#ifndef WINNOW_KERNELS_TESTING_COMPARE_H_
#define WINNOW_KERNELS_TESTING_COMPARE_H_

#include <bit>
#include <cstdint>
#include <span>

#include "gtest/gtest.h"

namespace winnow::testing {

// A quiet NaN that no computation makes from ordinary numbers.
inline constexpr float kPoison = std::bit_cast<float>(uint32_t{0x7fc5a5a5});

struct Tolerance {
  double relative = 0;  // of |expected|
  double absolute = 0;
};

// Same length, and for every element |actual - expected| <= absolute + relative * |expected|.
// NaN agrees with NaN only, an infinity with that same infinity only; 0 and -0 agree.
::testing::AssertionResult Near(std::span<const float> actual, std::span<const double> expected,
                                Tolerance tolerance);
::testing::AssertionResult Near(std::span<const float> actual, std::span<const float> expected,
                                Tolerance tolerance);

// Same length and the same bits: 0 and -0 differ, NaNs with different payloads too.
::testing::AssertionResult Identical(std::span<const float> actual,
                                     std::span<const float> expected);

}  // namespace winnow::testing

#endif  // WINNOW_KERNELS_TESTING_COMPARE_H_
