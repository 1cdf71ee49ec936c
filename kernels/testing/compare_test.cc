#include "kernels/testing/compare.h"

#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace winnow::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Tolerance kExact{};
constexpr Tolerance kLoose{.relative = 0.1, .absolute = 0.01};

bool One(float actual, double expected, Tolerance tolerance) {
  const std::vector<float> a = {1, actual, 2};
  const std::vector<double> e = {1, expected, 2};
  return static_cast<bool>(Near(a, e, tolerance));
}

bool Same(float actual, float expected) {
  const std::vector<float> a = {1, actual};
  const std::vector<float> e = {1, expected};
  return static_cast<bool>(Identical(a, e));
}

TEST(NearTest, ToleranceIsRelativePlusAbsolute) {
  EXPECT_TRUE(One(109.0f, 100, kLoose));
  EXPECT_TRUE(One(91.0f, 100, kLoose));
  EXPECT_FALSE(One(110.5f, 100, kLoose));
  EXPECT_FALSE(One(89.5f, 100, kLoose));
  EXPECT_TRUE(One(0.5f, 0.5, kExact));
  EXPECT_FALSE(One(0.50000006f, 0.5, kExact));
}

TEST(NearTest, SignMatters) {
  EXPECT_FALSE(One(-1, 1, kLoose));
  EXPECT_FALSE(One(1, -1, kLoose));
  EXPECT_FALSE(One(-100, -1, kLoose));
  EXPECT_FALSE(One(-100, 1, kLoose));
  EXPECT_TRUE(One(-1, -1, kExact));
}

TEST(NearTest, ZeroAllowsTheAbsolutePartOnly) {
  EXPECT_TRUE(One(0.009f, 0, kLoose));
  EXPECT_FALSE(One(0.011f, 0, kLoose));
  EXPECT_FALSE(One(1e-30f, 0, {.relative = 1, .absolute = 0}));
  EXPECT_TRUE(One(-0.0f, 0.0, kExact));
}

TEST(NearTest, NaNAgreesWithNaNOnly) {
  EXPECT_FALSE(One(kNaN, 1, kLoose));
  EXPECT_FALSE(One(1, kNaN, kLoose));
  EXPECT_FALSE(One(kNaN, kInf, kLoose));
  EXPECT_FALSE(One(kInf, kNaN, kLoose));
  EXPECT_TRUE(One(kNaN, kNaN, kLoose));
}

TEST(NearTest, InfinityAgreesWithItselfOnly) {
  EXPECT_TRUE(One(kInf, kInf, kExact));
  EXPECT_TRUE(One(-kInf, -kInf, kExact));
  EXPECT_FALSE(One(kInf, -kInf, kLoose));
  EXPECT_FALSE(One(kInf, 1, kLoose));
  EXPECT_FALSE(One(std::numeric_limits<float>::max(), kInf, kLoose));
}

TEST(NearTest, FloatExpectationsFollowTheSameRules) {
  const std::vector<float> a = {1, 2};
  EXPECT_TRUE(Near(a, std::vector<float>{1, 2.1f}, kLoose));
  EXPECT_FALSE(Near(a, std::vector<float>{1, -2}, kLoose));
}

TEST(NearTest, LengthMatters) {
  const std::vector<float> a = {1, 2};
  EXPECT_FALSE(Near(a, std::vector<double>{1}, kLoose));
  EXPECT_FALSE(Near(a, std::vector<double>{}, kLoose));
  EXPECT_TRUE(Near(std::vector<float>{}, std::vector<double>{}, kExact));
}

TEST(NearTest, MessageCountsAndShowsTheFirst) {
  const std::vector<float> a = {1, 2, 3, kPoison};
  const std::vector<double> e = {1, 5, 6, 7};
  const std::string message = Near(a, e, kExact).message();
  EXPECT_NE(message.find("3 of 4 elements differ"), std::string::npos) << message;
  EXPECT_NE(message.find("[1] 2"), std::string::npos) << message;
  EXPECT_NE(message.find("[3] was never written"), std::string::npos) << message;
}

TEST(IdenticalTest, ComparesBits) {
  EXPECT_TRUE(Same(0.1f, 0.1f));
  EXPECT_FALSE(Same(1.0f, 1.0000001f));
  EXPECT_FALSE(Same(1, -1));
  EXPECT_FALSE(Same(0.0f, -0.0f));
  EXPECT_TRUE(Same(kNaN, kNaN));
  EXPECT_FALSE(Same(kNaN, -kNaN));
  EXPECT_TRUE(Same(kInf, kInf));
  EXPECT_FALSE(Same(kInf, -kInf));
  EXPECT_FALSE(Identical(std::vector<float>{1}, std::vector<float>{1, 1}));
}

TEST(PoisonTest, AlwaysFails) {
  EXPECT_FALSE(One(kPoison, 1, kLoose));
  EXPECT_FALSE(One(kPoison, kNaN, kLoose));
  EXPECT_FALSE(Same(kPoison, kPoison));
}

}  // namespace
}  // namespace winnow::testing
