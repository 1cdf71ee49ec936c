// Histogram: how often values fell between fixed bounds. HistogramCounts: what one holds, as plain
// numbers.
//
//   Histogram seconds(kSecondsBounds);
//   seconds.Add(0.3);                          // one thread
//   HistogramCounts counts = seconds.Read();   // any thread
//
// One thread writes, any may read, and neither waits for the other. A read beside a write may or
// may not see its value; count and sum may then differ by it.
#ifndef WINNOW_SCHEDULER_HISTOGRAM_H_
#define WINNOW_SCHEDULER_HISTOGRAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"

namespace winnow {

struct HistogramCounts {
  absl::Span<const double> bounds;  // ascending; of static duration
  // [bounds + 1]: values above the bound before and at most this one; the last has no bound.
  std::vector<uint64_t> counts;
  double sum = 0;

  uint64_t count() const;  // of all values
};

class Histogram {
 public:
  // REQUIRES: bounds are ascending, and outlive this and what is read from it.
  explicit Histogram(absl::Span<const double> bounds);

  void Add(double value);
  HistogramCounts Read() const;

 private:
  const absl::Span<const double> bounds_;
  const std::unique_ptr<std::atomic<uint64_t>[]> counts_;  // [bounds + 1]
  std::atomic<double> sum_{0};
};

// Adds to an atomic that only this thread writes: no locked instruction.
template <typename T>
void AddAsOnlyWriter(std::atomic<T>& value, T amount) {
  value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_HISTOGRAM_H_
