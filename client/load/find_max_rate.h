// The search of --find_max_rate, apart from how a rate is tried.
#ifndef WINNOW_CLIENT_LOAD_FIND_MAX_RATE_H_
#define WINNOW_CLIENT_LOAD_FIND_MAX_RATE_H_

#include <functional>
#include <optional>

namespace winnow::load {

// The answer is met, and a rate this much higher is not.
inline constexpr double kRateTolerance = 1.05;

// Does this rate meet the objectives? Absent: the search shall stop.
using TryRate = std::function<std::optional<bool>(double rate)>;

// The highest rate that was tried and met. Doubles from `first` while rates are met, or halves it
// until one is, then halves the ratio between the highest met and the lowest missed. Rates stay
// within a factor of 1000 of the first and within kMinRate..kMaxRate. Absent if none was met.
std::optional<double> FindMaxRate(double first, const TryRate& try_rate);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_FIND_MAX_RATE_H_
