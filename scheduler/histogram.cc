#include "scheduler/histogram.h"

#include <algorithm>
#include <numeric>

#include "kernels/check.h"

namespace winnow {

uint64_t HistogramCounts::count() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

Histogram::Histogram(absl::Span<const double> bounds)
    : bounds_(bounds), counts_(new std::atomic<uint64_t>[bounds.size() + 1]()) {
  WINNOW_CHECK(std::is_sorted(bounds.begin(), bounds.end()));
}

void Histogram::Add(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  AddAsOnlyWriter(counts_[bound - bounds_.begin()], uint64_t{1});
  AddAsOnlyWriter(sum_, value);
}

HistogramCounts Histogram::Read() const {
  HistogramCounts read;
  read.bounds = bounds_;
  read.counts.reserve(bounds_.size() + 1);
  for (size_t i = 0; i <= bounds_.size(); ++i) {
    read.counts.push_back(counts_[i].load(std::memory_order_relaxed));
  }
  read.sum = sum_.load(std::memory_order_relaxed);
  return read;
}

}  // namespace winnow
