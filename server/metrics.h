// Metrics: what Prometheus is told of a server, as docs/metrics.md lists it.
//
// Nothing is counted here but the engine's idle share: a scrape asks those who count. None of them
// holds up the engine's loop for it, and the work is bounded: some ten numbers for each metric, and
// for each layer that keeps tokens. Thread-safe.
#ifndef WINNOW_SERVER_METRICS_H_
#define WINNOW_SERVER_METRICS_H_

#include <functional>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "prometheus/collectable.h"
#include "proto/winnow/v1/generation.pb.h"
#include "scheduler/engine.h"
#include "server/call_counts.h"
#include "server/idle_ratio.h"
#include "server/metric_families.h"

namespace winnow {

struct MetricsSources {
  std::function<EngineStats()> engine;  // draining: of the whole server
  const CallCounts* calls = nullptr;
  v1::GetModelInfoResponse model;
  bool vllm_aliases = false;
  std::function<absl::Time()> now = absl::Now;
};

class Metrics final : public prometheus::Collectable {
 public:
  // What the sources refer to must outlive every scrape.
  explicit Metrics(MetricsSources sources);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  void AddRequests(const EngineStats& stats, MetricFamilies* families) const;
  void AddSteps(const EngineStats& stats, MetricFamilies* families) const;
  void AddInfo(MetricFamilies* families) const;
  void AddAliases(const LoadStats& load, MetricFamilies* families) const;

  const MetricsSources sources_;
  mutable IdleRatio idle_ratio_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_METRICS_H_
