#include "kernels/ops/position_score.h"

#include <cmath>
#include <set>

#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(RecencyScore, GrowsWithEveryToken) {
  for (const int64_t position : {int64_t{0}, int64_t{1}, int64_t{1} << 23, (int64_t{1} << 24) + 1,
                                 int64_t{2'000'000'000}, kLastRecencyPosition - 1}) {
    EXPECT_GT(RecencyScore(position), 0) << position;
    EXPECT_GT(RecencyScore(position + 1), RecencyScore(position)) << position;
  }
  EXPECT_TRUE(std::isnormal(RecencyScore(0)));
  EXPECT_TRUE(std::isfinite(RecencyScore(int64_t{1} << 40))) << "below what sinks have";
}

TEST(RandomScore, IsUniform) {
  constexpr int kDraws = 100'000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double score = RandomScore(3, i % 4, i / 4);
    ASSERT_GT(score, 0);
    ASSERT_LE(score, 1);
    sum += score;
    squares += score * score;
  }
  // Five standard deviations of the means.
  EXPECT_NEAR(sum / kDraws, 1.0 / 2, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kDraws));
}

TEST(RandomScore, DependsOnAllThree) {
  const std::set<float> scores = {RandomScore(1, 0, 0), RandomScore(2, 0, 0), RandomScore(1, 1, 0),
                                  RandomScore(1, 0, 1)};
  EXPECT_EQ(scores.size(), 4u);
  EXPECT_EQ(RandomScore(1, 2, 3), RandomScore(1, 2, 3));
}

}  // namespace
}  // namespace winnow
