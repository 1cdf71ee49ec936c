#include "client/load/length_distribution.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kDraws = 200'000;

struct Moments {
  double mean = 0, variance = 0;
};

LengthDistribution Parsed(const std::string& value) {
  auto parsed = LengthDistribution::Parse("--prompt_tokens", value);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return *parsed;
}

Moments Measured(const LengthDistribution& lengths) {
  Random random = MakeRandom(1, RandomStream::kLengths);
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double length = lengths.Draw(&random);
    sum += length;
    squares += length * length;
  }
  return {sum / kDraws, squares / kDraws - sum / kDraws * (sum / kDraws)};
}

// Five standard errors of the mean, and of the variance given the fourth central moment.
void ExpectNear(const Moments& measured, const Moments& exact, double fourth_moment) {
  EXPECT_NEAR(measured.mean, exact.mean, 5 * std::sqrt(exact.variance / kDraws));
  EXPECT_NEAR(measured.variance, exact.variance,
              5 * std::sqrt((fourth_moment - exact.variance * exact.variance) / kDraws));
}

TEST(LengthDistributionTest, ANumberIsAlwaysThatNumber) {
  const Moments measured = Measured(Parsed("512"));
  EXPECT_EQ(measured.mean, 512);
  EXPECT_EQ(measured.variance, 0);
}

TEST(LengthDistributionTest, UniformHasItsExactMoments) {
  const double n = 101;  // 100..200
  const double variance = (n * n - 1) / 12;
  ExpectNear(Measured(Parsed("uniform:100,200")), {150, variance},
             (n * n - 1) * (3 * n * n - 7) / 240);
}

TEST(LengthDistributionTest, UniformReachesBothEnds) {
  const LengthDistribution lengths = Parsed("uniform:3,5");
  Random random = MakeRandom(1, RandomStream::kLengths);
  std::vector<int> counts(7);
  for (int i = 0; i < 3000; ++i) ++counts.at(lengths.Draw(&random));
  EXPECT_GT(counts[3], 800);
  EXPECT_GT(counts[4], 800);
  EXPECT_GT(counts[5], 800);
}

// The exact moments of a lognormal that is rounded and held above 0, summed over its values.
TEST(LengthDistributionTest, LognormalHasItsExactMoments) {
  for (const auto& [mean, stddev] : {std::pair(200.0, 100.0), std::pair(5.0, 4.0)}) {
    const double variance = std::log1p(stddev * stddev / mean / mean);
    const double location = std::log(mean) - variance / 2;
    const auto below = [&](double x) {
      return x <= 0 ? 0 : std::erfc((location - std::log(x)) / std::sqrt(2 * variance)) / 2;
    };
    const auto sum = [&](auto value) {
      double total = 0;
      for (int length = 1; length < 20'000; ++length) {
        const double low = length == 1 ? 0 : length - 0.5;
        total += value(length) * (below(length + 0.5) - below(low));
      }
      return total;
    };
    Moments exact;
    exact.mean = sum([](double x) { return x; });
    exact.variance = sum([&](double x) { return std::pow(x - exact.mean, 2); });
    const double fourth = sum([&](double x) { return std::pow(x - exact.mean, 4); });
    EXPECT_NEAR(exact.mean, mean, 0.05) << "rounding hardly moves it";
    ExpectNear(Measured(Parsed(absl::StrCat("lognormal:", mean, ",", stddev))), exact, fourth);
  }
}

TEST(LengthDistributionTest, TheSameSeedDrawsTheSame) {
  const LengthDistribution lengths = Parsed("lognormal:200,100");
  Random first = MakeRandom(7, RandomStream::kLengths), second = first;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(lengths.Draw(&first), lengths.Draw(&second));
}

TEST(LengthDistributionTest, SaysWhatItIs) {
  for (const char* text : {"512", "uniform:1,9", "lognormal:200,50.5"}) {
    EXPECT_EQ(Parsed(text).ToString(), text);
  }
}

TEST(LengthDistributionTest, ErrorsNameFlagValueAndRange) {
  for (const char* value : {"", "0", "-1", "1000001", "x", "1.5"}) {
    EXPECT_THAT(
        LengthDistribution::Parse("--output_tokens", value).status().message(),
        AllOf(HasSubstr(absl::StrCat("--output_tokens=", value, ": ")), HasSubstr("1 to 1000000")));
  }
  for (const char* value : {"uniform:", "uniform:5", "uniform:5,4", "uniform:0,4", "uniform:1,2,3",
                            "uniform:1,1000001"}) {
    EXPECT_THAT(
        LengthDistribution::Parse("--p", value).status().message(),
        AllOf(HasSubstr(absl::StrCat("--p=", value)), HasSubstr("1 <= MIN <= MAX <= 1000000")));
  }
  for (const char* value :
       {"lognormal:5", "lognormal:0.5,1", "lognormal:5,0", "lognormal:nan,1", "lognormal:5,inf"}) {
    EXPECT_THAT(LengthDistribution::Parse("--p", value).status().message(),
                AllOf(HasSubstr(absl::StrCat("--p=", value)), HasSubstr("MEAN from 1 to 1000000")));
  }
}

}  // namespace
}  // namespace winnow::load
