// A piece of work that is timed in several rounds, so that measurements to be compared can take
// turns.
//
//   Measurement a([&] { ... }), b([&] { ... });
//   for (int round = 0; round < 7; ++round) { a.Round(); b.Round(); }
//   print(a.MedianSeconds() / b.MedianSeconds());
#ifndef WINNOW_TESTS_BENCH_MEASUREMENT_H_
#define WINNOW_TESTS_BENCH_MEASUREMENT_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

namespace winnow::bench {

class Measurement {
 public:
  explicit Measurement(std::function<void()> work) : work_(std::move(work)) {}

  // Warms up, then repeats the work for some time.
  void Round() {
    constexpr double kWarmSeconds = 0.01, kTimedSeconds = 0.06;
    double begin = Now();
    int count = 0;
    for (; count == 0 || Now() < begin + kWarmSeconds; ++count) work_();
    const double estimate = (Now() - begin) / count;
    count = std::max(1, static_cast<int>(kTimedSeconds / estimate));
    begin = Now();
    for (int i = 0; i < count; ++i) work_();
    seconds_.push_back((Now() - begin) / count);
  }

  // Of one run of the work. REQUIRES: at least one round.
  double MedianSeconds() const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }

 private:
  static double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  std::function<void()> work_;
  std::vector<double> seconds_;
};

}  // namespace winnow::bench

#endif  // WINNOW_TESTS_BENCH_MEASUREMENT_H_
