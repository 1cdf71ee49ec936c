#include "client/eval/score.h"

#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

TEST(ScoreAnswerTest, ExactIsTheCodeAndNoFurtherDigit) {
  for (const char* right : {" 48213.", "48213", "\n48213. The", " 48213 and"}) {
    EXPECT_TRUE(ScoreAnswer(right, {"48213"}).exact) << right;
    EXPECT_EQ(ScoreAnswer(right, {"48213"}).digits, 1) << right;
  }
  for (const char* wrong : {"", " 4821", " 482137", " 48214.", " unknown.", "x48213"}) {
    EXPECT_FALSE(ScoreAnswer(wrong, {"48213"}).exact) << wrong;
  }
}

TEST(ScoreAnswerTest, DigitsCountAtTheirPlaces) {
  EXPECT_DOUBLE_EQ(ScoreAnswer(" 48913.", {"48213"}).digits, 0.8);
  EXPECT_DOUBLE_EQ(ScoreAnswer(" 82134.", {"48213"}).digits, 0);
  EXPECT_DOUBLE_EQ(ScoreAnswer(" 48", {"48213"}).digits, 0.4);
  EXPECT_DOUBLE_EQ(ScoreAnswer("", {"48213"}).digits, 0);
}

TEST(ScoreAnswerTest, AnyOfSeveralCodesIsRight) {
  EXPECT_TRUE(ScoreAnswer(" 11111.", {"48213", "11111"}).exact);
  const Score mixed = ScoreAnswer(" 48111.", {"48213", "11111"});
  EXPECT_FALSE(mixed.exact);
  EXPECT_DOUBLE_EQ(mixed.digits, 0.6);
}

// The x with |share - x| = 1.96 sqrt(x (1 - x) / n), from the quadratic equation's own formula.
TEST(Wilson95Test, KnownIntervals) {
  EXPECT_NEAR(Wilson95(1, 40).low, 0.912378, 1e-5);
  EXPECT_NEAR(Wilson95(1, 40).high, 1, 1e-12);
  EXPECT_NEAR(Wilson95(0, 10).low, 0, 1e-12);
  EXPECT_NEAR(Wilson95(0, 10).high, 0.277533, 1e-5);
  EXPECT_NEAR(Wilson95(0.5, 20).low, 0.299298, 1e-5);
  EXPECT_NEAR(Wilson95(0.5, 20).high, 0.700702, 1e-5);
}

TEST(Wilson95Test, WithoutTrialsNothingIsKnown) {
  EXPECT_EQ(Wilson95(0, 0).low, 0);
  EXPECT_EQ(Wilson95(0, 0).high, 1);
}

// The examples of table II of Newcombe's paper, method 10.
TEST(Gap95Test, PublishedIntervals) {
  const auto expect = [](Measured a, Measured b, double low, double high) {
    const Interval gap = Gap95(a, b);
    EXPECT_NEAR(gap.low, low, 5e-5);
    EXPECT_NEAR(gap.high, high, 5e-5);
  };
  expect({56.0 / 70, 70}, {48.0 / 80, 80}, 0.0524, 0.3339);
  expect({9.0 / 10, 10}, {3.0 / 10, 10}, 0.1705, 0.8090);
  expect({10.0 / 10, 10}, {0, 20}, 0.6791, 1.0000);
  expect({0, 10}, {0, 10}, -0.2775, 0.2775);
}

}  // namespace
}  // namespace winnow::eval
