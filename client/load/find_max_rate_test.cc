#include "client/load/find_max_rate.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::ElementsAre;

TEST(FindMaxRateTest, ComesWithinTheToleranceFromAnywhere) {
  for (const double capacity : {0.7, 3.0, 10.0, 123.4}) {
    for (const double first : {0.5, 10.0, 400.0}) {
      int tries = 0;
      const auto found = FindMaxRate(first, [&](double rate) {
        ++tries;
        return rate <= capacity;
      });
      ASSERT_TRUE(found.has_value()) << capacity << " from " << first;
      EXPECT_LE(*found, capacity);
      EXPECT_GT(*found, capacity / kRateTolerance / 1.01) << "from " << first;
      EXPECT_LE(tries, 16);
    }
  }
}

TEST(FindMaxRateTest, DoublesThenHalvesTheRatio) {
  std::vector<double> tried;
  FindMaxRate(10, [&](double rate) {
    tried.push_back(rate);
    return rate <= 30;
  });
  EXPECT_THAT(tried, ElementsAre(10, 20, 40, testing::DoubleNear(28.3, 1e-9),
                                 testing::DoubleNear(33.6, 1e-9), testing::DoubleNear(30.8, 1e-9),
                                 testing::DoubleNear(29.5, 1e-9)));
}

TEST(FindMaxRateTest, GivesUpAThousandthOrAThousandTimesFromTheFirst) {
  EXPECT_FALSE(FindMaxRate(10, [](double) { return false; }).has_value());
  EXPECT_EQ(FindMaxRate(10, [](double) { return true; }), 10'000);
}

TEST(FindMaxRateTest, AStopKeepsWhatWasFound) {
  int tries = 0;
  EXPECT_EQ(FindMaxRate(10,
                        [&](double) -> std::optional<bool> {
                          if (++tries == 3) return std::nullopt;
                          return true;
                        }),
            20);
}

}  // namespace
}  // namespace winnow::load
