#include "client/load/arrivals.h"

#include <algorithm>
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::ElementsAre;

std::vector<double> DrawSeconds(const RateRange& rate, const ArrivalProcess& process, int64_t num,
                                uint64_t seed = 1) {
  Random random = MakeRandom(seed, RandomStream::kArrivals);
  std::vector<double> seconds;
  for (const int64_t ns : DrawArrivals(rate, process, num, &random)) seconds.push_back(ns * 1e-9);
  return seconds;
}

TEST(ArrivalsTest, ConstantGapsAreEqualAndBeginAtZero) {
  EXPECT_THAT(DrawSeconds({4, 4}, {.burstiness = {}}, 4), ElementsAre(0, 0.25, 0.5, 0.75));
}

TEST(ArrivalsTest, NumbersAndTimesFollowFromTheRate) {
  EXPECT_EQ(NumArrivals({4, 4}, 2.5), 10);
  EXPECT_EQ(NumArrivals({1, 9}, 2), 10);
  EXPECT_DOUBLE_EQ(SecondsFor({1, 9}, 10), 2);
}

TEST(ArrivalsTest, AscendWithinTheTimeOfTheRate) {
  for (const double burstiness : {0.1, 1.0, 20.0}) {
    for (const RateRange rate : {RateRange{50, 50}, RateRange{1, 99}, RateRange{99, 1}}) {
      const std::vector<double> seconds = DrawSeconds(rate, {burstiness}, 1000);
      EXPECT_EQ(seconds.size(), 1000u);
      EXPECT_TRUE(std::is_sorted(seconds.begin(), seconds.end()));
      EXPECT_GE(seconds.front(), 0);
      EXPECT_LE(seconds.back(), 20);
    }
  }
}

// Gaps that are stretched to fill the time are a share of a Dirichlet distribution: with
// N arrivals of shape k, a gap's squared coefficient of variation is N / (k (N + 1) + 1).
TEST(ArrivalsTest, GapsHaveTheVariationOfTheirBurstiness) {
  constexpr int kNum = 100'000;
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    const std::vector<double> seconds = DrawSeconds({1, 1}, {burstiness}, kNum);
    double sum = 0, squares = 0;
    for (int i = 1; i < kNum; ++i) {
      const double gap = seconds[i] - seconds[i - 1];
      sum += gap;
      squares += gap * gap;
    }
    const double mean = sum / (kNum - 1), variance = squares / (kNum - 1) - mean * mean;
    const double exact = kNum / (burstiness * (kNum + 1) + 1);
    // Five standard errors of a gamma's variance: its excess kurtosis is 6 / k.
    EXPECT_NEAR(
        variance / mean / mean, exact,
        5 * exact * std::sqrt((2 + 6 / burstiness) / kNum) + 5 * exact * 2 / std::sqrt(kNum))
        << burstiness;
  }
}

// Poisson arrivals, given their number, are sorted independent uniform times: the first of N has
// mean T / (N + 1), and the count in a part of the time is binomial.
TEST(ArrivalsTest, PoissonArrivalsAreUniformInTime) {
  constexpr int kNum = 9, kRuns = 20'000;
  double first = 0, in_first_third = 0;
  for (int seed = 0; seed < kRuns; ++seed) {
    const std::vector<double> seconds = DrawSeconds({3, 3}, {1.0}, kNum, seed);
    first += seconds[0];
    in_first_third += std::count_if(seconds.begin(), seconds.end(), [](double s) { return s < 1; });
  }
  EXPECT_NEAR(first / kRuns, 3.0 / (kNum + 1), 5 * 0.3 / std::sqrt(kRuns));
  EXPECT_NEAR(in_first_third / kRuns, 3, 5 * std::sqrt(kNum * 2.0 / 9 / kRuns));
}

TEST(ArrivalsTest, ARampHasItsRateAtEachMoment) {
  const std::vector<double> seconds = DrawSeconds({0.001, 200}, {.burstiness = {}}, 1000);
  // The rate grows linearly over 10 s, the count with its square.
  for (const double time : {2.0, 5.0, 8.0}) {
    const auto count = std::lower_bound(seconds.begin(), seconds.end(), time) - seconds.begin();
    EXPECT_NEAR(static_cast<double>(count), 10 * time * time, 2) << time;
  }
}

TEST(ArrivalsTest, TheSameSeedDrawsTheSame) {
  EXPECT_EQ(DrawSeconds({5, 5}, {1.0}, 50, 3), DrawSeconds({5, 5}, {1.0}, 50, 3));
  EXPECT_NE(DrawSeconds({5, 5}, {1.0}, 50, 3), DrawSeconds({5, 5}, {1.0}, 50, 4));
}

}  // namespace
}  // namespace winnow::load
