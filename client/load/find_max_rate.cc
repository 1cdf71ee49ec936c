#include "client/load/find_max_rate.h"

#include <algorithm>
#include <cmath>

#include "client/load/level_flags.h"

namespace winnow::load {
namespace {

constexpr double kMaxFactor = 1000;

// To three digits: no rate is measured as exactly as more would say.
double Rounded(double rate) {
  const double unit = std::pow(10, std::floor(std::log10(rate)) - 2);
  return std::round(rate / unit) * unit;
}

// What the search knows: everything up to `met` is taken to be met, everything from `missed` on
// not.
struct Bounds {
  std::optional<double> met, missed;
  double lowest, highest;

  // Absent: nothing left to try.
  std::optional<double> Next(double first) const {
    if (!met.has_value() && !missed.has_value()) return first;
    if (!missed.has_value())
      return *met < highest ? std::optional(std::min(*met * 2, highest)) : std::nullopt;
    if (!met.has_value())
      return *missed > lowest ? std::optional(std::max(*missed / 2, lowest)) : std::nullopt;
    if (*missed / *met <= kRateTolerance) return std::nullopt;
    return Rounded(std::sqrt(*met * *missed));
  }
};

}  // namespace

std::optional<double> FindMaxRate(double first, const TryRate& try_rate) {
  Bounds bounds = {.met = {},
                   .missed = {},
                   .lowest = std::max(kMinRate, first / kMaxFactor),
                   .highest = std::min(kMaxRate, first * kMaxFactor)};
  while (const std::optional<double> rate = bounds.Next(first)) {
    const std::optional<bool> met = try_rate(*rate);
    if (!met.has_value()) break;
    (*met ? bounds.met : bounds.missed) = *rate;
  }
  return bounds.met;
}

}  // namespace winnow::load
