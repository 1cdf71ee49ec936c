#include "client/load/arrivals.h"

#include <cmath>
#include <random>

namespace winnow::load {
namespace {

// Positions of `num` arrivals among `num` gaps of mean 1, before any rate applies: in [0, num).
std::vector<double> DrawPositions(const ArrivalProcess& process, int64_t num, Random* random) {
  std::vector<double> positions(num);
  if (!process.burstiness.has_value()) {
    for (int64_t i = 0; i < num; ++i) positions[i] = static_cast<double>(i);
    return positions;
  }
  std::gamma_distribution<double> gap(*process.burstiness, 1 / *process.burstiness);
  double sum = 0;
  for (double& position : positions) position = sum += gap(*random);
  // The gap after the last one belongs to the time too: without it the last arrival would always
  // stand at its very end.
  sum += gap(*random);
  if (sum > 0) {
    for (double& position : positions) position *= static_cast<double>(num) / sum;
  }
  return positions;
}

// The time at which the integral of the rate has reached `position`.
double TimeOf(double position, const RateRange& rate, double seconds) {
  const double slope = (rate.end - rate.begin) / seconds;
  // The root of begin * t + slope / 2 * t^2 = position, in the form that is exact for slope 0.
  const double root = std::sqrt(std::fmax(0, rate.begin * rate.begin + 2 * slope * position));
  return 2 * position / (rate.begin + root);
}

}  // namespace

int64_t NumArrivals(const RateRange& rate, double seconds) {
  return std::llround((rate.begin + rate.end) / 2 * seconds);
}

double SecondsFor(const RateRange& rate, int64_t num) {
  return static_cast<double>(num) / ((rate.begin + rate.end) / 2);
}

std::vector<int64_t> DrawArrivals(const RateRange& rate, const ArrivalProcess& process, int64_t num,
                                  Random* random) {
  const double seconds = SecondsFor(rate, num);
  std::vector<int64_t> times_ns;
  times_ns.reserve(num);
  for (const double position : DrawPositions(process, num, random)) {
    times_ns.push_back(std::llround(TimeOf(position, rate, seconds) * 1e9));
  }
  return times_ns;
}

}  // namespace winnow::load
