// MetricFamilies: the answer to one scrape, built sample by sample from plain numbers.
//
//   MetricFamilies families;
//   families.Gauge("winnow_slots_used", "Slots that hold a sequence's state", 3);
//   families.Counter("winnow_requests_finished_total", "Requests that ended", 7, {{"reason",
//   "stop"}}); return families.Take();
//
// Samples of one name must follow one another. Not thread-safe.
#ifndef WINNOW_SERVER_METRIC_FAMILIES_H_
#define WINNOW_SERVER_METRIC_FAMILIES_H_

#include <string>
#include <utility>
#include <vector>

#include "prometheus/client_metric.h"
#include "prometheus/metric_family.h"
#include "scheduler/histogram.h"

namespace winnow {

class MetricFamilies {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  void Gauge(const char* name, const char* help, double value, Labels labels = {}) {
    Add(name, help, prometheus::MetricType::Gauge, std::move(labels)).gauge.value = value;
  }
  void Counter(const char* name, const char* help, double value, Labels labels = {}) {
    Add(name, help, prometheus::MetricType::Counter, std::move(labels)).counter.value = value;
  }
  void Histogram(const char* name, const char* help, const HistogramCounts& counts,
                 Labels labels = {}) {
    auto& histogram =
        Add(name, help, prometheus::MetricType::Histogram, std::move(labels)).histogram;
    histogram.sample_count = counts.count();
    histogram.sample_sum = counts.sum;
    uint64_t below = 0;
    for (size_t i = 0; i < counts.bounds.size(); ++i) {
      below += counts.counts[i];
      histogram.bucket.push_back({.cumulative_count = below, .upper_bound = counts.bounds[i]});
    }
  }

  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  prometheus::ClientMetric& Add(const char* name, const char* help, prometheus::MetricType type,
                                Labels labels) {
    if (families_.empty() || families_.back().name != name) {
      families_.push_back({.name = name, .help = help, .type = type, .metric = {}});
    }
    prometheus::ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }

  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_METRIC_FAMILIES_H_
