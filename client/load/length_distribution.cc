#include "client/load/length_distribution.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace winnow::load {
namespace {

bool IsLength(int tokens) { return tokens >= 1 && tokens <= kMaxTokens; }

}  // namespace

absl::StatusOr<LengthDistribution> LengthDistribution::ParseUniform(absl::string_view numbers) {
  const std::vector<absl::string_view> parts = absl::StrSplit(numbers, ',');
  int min, max;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &min) || !absl::SimpleAtoi(parts[1], &max) ||
      !IsLength(min) || !IsLength(max) || min > max) {
    return absl::InvalidArgumentError(
        absl::StrCat("write uniform:MIN,MAX with 1 <= MIN <= MAX <= ", kMaxTokens));
  }
  return LengthDistribution(Uniform{min, max});
}

absl::StatusOr<LengthDistribution> LengthDistribution::ParseLognormal(absl::string_view numbers) {
  const std::vector<absl::string_view> parts = absl::StrSplit(numbers, ',');
  double mean, stddev;
  if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &mean) ||
      !absl::SimpleAtod(parts[1], &stddev) || !(mean >= 1 && mean <= kMaxTokens) ||
      !(stddev > 0 && stddev <= kMaxTokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat("write lognormal:MEAN,STDDEV with MEAN from 1 to ", kMaxTokens,
                     " and STDDEV above 0, up to ", kMaxTokens));
  }
  return LengthDistribution(Lognormal{mean, stddev});
}

absl::StatusOr<LengthDistribution> LengthDistribution::Parse(absl::string_view flag,
                                                             absl::string_view value) {
  absl::StatusOr<LengthDistribution> parsed = absl::InvalidArgumentError(absl::StrCat(
      "write a number from 1 to ", kMaxTokens, ", uniform:MIN,MAX or lognormal:MEAN,STDDEV"));
  absl::string_view numbers = value;
  int tokens;
  if (absl::ConsumePrefix(&numbers, "uniform:")) {
    parsed = ParseUniform(numbers);
  } else if (absl::ConsumePrefix(&numbers, "lognormal:")) {
    parsed = ParseLognormal(numbers);
  } else if (absl::SimpleAtoi(value, &tokens) && IsLength(tokens)) {
    parsed = LengthDistribution(tokens);
  }
  if (parsed.ok()) return parsed;
  return absl::InvalidArgumentError(
      absl::StrCat(flag, "=", value, ": ", parsed.status().message()));
}

int LengthDistribution::Draw(Random* random) const {
  if (const auto* uniform = std::get_if<Uniform>(&kind_)) {
    return std::uniform_int_distribution<int>(uniform->min, uniform->max)(*random);
  }
  const auto& lognormal = std::get<Lognormal>(kind_);
  // The normal's parameters from the lognormal's moments.
  const double spread = lognormal.stddev / lognormal.mean;
  const double variance = std::log1p(spread * spread);
  const double location = std::log(lognormal.mean) - variance / 2;
  const double drawn = std::lognormal_distribution<double>(location, std::sqrt(variance))(*random);
  return static_cast<int>(std::clamp(std::round(drawn), 1.0, static_cast<double>(kMaxTokens)));
}

std::string LengthDistribution::ToString() const {
  if (const auto* uniform = std::get_if<Uniform>(&kind_)) {
    if (uniform->min == uniform->max) return absl::StrCat(uniform->min);
    return absl::StrCat("uniform:", uniform->min, ",", uniform->max);
  }
  const auto& lognormal = std::get<Lognormal>(kind_);
  return absl::StrCat("lognormal:", lognormal.mean, ",", lognormal.stddev);
}

}  // namespace winnow::load
