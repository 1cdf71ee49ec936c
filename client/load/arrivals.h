// When requests are sent in an open loop: drawn before the first is sent, whatever the server does.
#ifndef WINNOW_CLIENT_LOAD_ARRIVALS_H_
#define WINNOW_CLIENT_LOAD_ARRIVALS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "client/load/random.h"

namespace winnow::load {

// Requests per second, growing or falling linearly in time from `begin` to `end`; both above 0.
struct RateRange {
  double begin = 1, end = 1;
};

// Gaps between arrivals, at a constant rate: gamma-distributed with shape `burstiness` (1: Poisson;
// below 1: bursts; above 1: more even), or all equal if there is no burstiness.
struct ArrivalProcess {
  std::optional<double> burstiness = 1;
};

// How many requests `rate` makes within `seconds`, rounded.
int64_t NumArrivals(const RateRange& rate, double seconds);
// How long `rate` takes for `num` requests.
double SecondsFor(const RateRange& rate, int64_t num);

// `num` times in nanoseconds, ascending, within the SecondsFor(rate, num) that start at 0. The
// process is stretched to have exactly `num` arrivals in that time, so that the rate asked for is
// the rate sent; Poisson arrivals remain exactly Poisson under that condition. With a ramp, time is
// warped so that the rate at each moment is the one of the ramp. Even arrivals begin at 0.
std::vector<int64_t> DrawArrivals(const RateRange& rate, const ArrivalProcess& process, int64_t num,
                                  Random* random);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_ARRIVALS_H_
