#include "server/metrics.h"

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/work_stats.h"
#include "server/errors.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::StartsWith;

// By name and labels, as in "name{reason=stop}"; histograms as _count and _sum.
std::map<std::string, double> Samples(const Metrics& metrics) {
  std::map<std::string, double> samples;
  for (const prometheus::MetricFamily& family : metrics.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      std::string labels;
      for (const auto& label : metric.label) absl::StrAppend(&labels, label.name, "=", label.value);
      if (!labels.empty()) labels = absl::StrCat("{", labels, "}");
      switch (family.type) {
        case prometheus::MetricType::Gauge:
          samples[family.name + labels] = metric.gauge.value;
          break;
        case prometheus::MetricType::Counter:
          samples[family.name + labels] = metric.counter.value;
          break;
        default:
          samples[absl::StrCat(family.name, "_count", labels)] = metric.histogram.sample_count;
          samples[absl::StrCat(family.name, "_sum", labels)] = metric.histogram.sample_sum;
      }
    }
  }
  return samples;
}

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() {
    stats_.load = {.running = 3,
                   .waiting = 5,
                   .waiting_prompt_tokens = 700,
                   .slots_used = 1,
                   .slots_reserved = 2,
                   .slots_total = 8,
                   .pages_used = 10,
                   .pages_reserved = 60,
                   .pages_total = 80};
    sources_.engine = [this] { return stats_; };
    sources_.calls = &calls_;
    sources_.model.set_name("demo");
    sources_.model.set_model_type("gated_deltanet");
    sources_.model.set_backend("cpu");
    sources_.now = [this] { return now_; };
  }

  EngineStats stats_;
  CallCounts calls_;
  MetricsSources sources_;
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(MetricsTest, LoadAndPools) {
  auto samples = Samples(Metrics(sources_));
  EXPECT_EQ(samples["winnow_requests_running"], 3);
  EXPECT_EQ(samples["winnow_requests_waiting"], 5);
  EXPECT_EQ(samples["winnow_waiting_prompt_tokens"], 700);
  EXPECT_EQ(samples["winnow_slots_used_ratio"], 0.125);
  EXPECT_EQ(samples["winnow_slots_reserved_ratio"], 0.25);
  EXPECT_EQ(samples["winnow_pages_capacity"], 80);
  EXPECT_EQ(samples["winnow_pages_reserved_ratio"], 0.75);
  stats_.load.pages_total = stats_.load.pages_reserved = 0;
  EXPECT_EQ(Samples(Metrics(sources_))["winnow_pages_reserved_ratio"], 0) << "a model without";
}

TEST_F(MetricsTest, EveryCallIsFinishedOrRejected) {
  stats_.work.finished = {7, 6, 5, 4, 3};
  stats_.work.turned_away = 2;
  calls_.CountUntaken(absl::CancelledError(""));
  calls_.CountUntaken(absl::DeadlineExceededError(""));
  calls_.CountUntaken(Draining());
  calls_.CountUntaken(QueueFull("full"));
  auto samples = Samples(Metrics(sources_));
  EXPECT_EQ(samples["winnow_requests_finished_total{reason=stop}"], 7);
  EXPECT_EQ(samples["winnow_requests_finished_total{reason=length}"], 6);
  EXPECT_EQ(samples["winnow_requests_finished_total{reason=cancelled}"], 5 + 1);
  EXPECT_EQ(samples["winnow_requests_finished_total{reason=deadline}"], 4 + 1);
  EXPECT_EQ(samples["winnow_requests_finished_total{reason=error}"], 3);
  EXPECT_EQ(samples["winnow_requests_rejected_total{reason=draining}"], 2 + 1);
  EXPECT_EQ(samples["winnow_requests_rejected_total{reason=queue_full}"], 1);
  EXPECT_EQ(samples["winnow_requests_rejected_total{reason=invalid}"], 0);
}

TEST_F(MetricsTest, HistogramsAreCumulative) {
  static constexpr double kBounds[] = {1, 2};
  stats_.work.queue_seconds = {kBounds, {3, 4, 5}, 21.5};
  for (const prometheus::MetricFamily& family : Metrics(sources_).Collect()) {
    if (family.name != "winnow_queue_seconds") continue;
    const auto& histogram = family.metric.at(0).histogram;
    EXPECT_EQ(histogram.sample_count, 12u);
    EXPECT_EQ(histogram.sample_sum, 21.5);
    ASSERT_EQ(histogram.bucket.size(), 2u);
    EXPECT_EQ(histogram.bucket[0].cumulative_count, 3u);
    EXPECT_EQ(histogram.bucket[1].cumulative_count, 7u);
    EXPECT_EQ(histogram.bucket[1].upper_bound, 2);
    return;
  }
  FAIL() << "no winnow_queue_seconds";
}

TEST_F(MetricsTest, KeptTokensByLayer) {
  static constexpr double kBounds[] = {10};
  stats_.work.kept_tokens = {{2, {kBounds, {1, 0}, 4}}, {5, {kBounds, {0, 2}, 30}}};
  auto samples = Samples(Metrics(sources_));
  EXPECT_EQ(samples["winnow_kept_tokens_count{layer=2}"], 1);
  EXPECT_EQ(samples["winnow_kept_tokens_sum{layer=5}"], 30);
}

TEST_F(MetricsTest, IdleRatioFollowsTheTimeOfSteps) {
  const Metrics metrics(sources_);
  now_ += absl::Seconds(8);
  stats_.work.step_seconds.sum = 6;
  EXPECT_EQ(Samples(metrics)["winnow_engine_idle_ratio"], 0.25);
}

TEST_F(MetricsTest, AliasesOnlyWhenAskedFor) {
  for (const auto& [name, value] : Samples(Metrics(sources_))) {
    EXPECT_THAT(name, Not(StartsWith("vllm"))) << value;
  }
  sources_.vllm_aliases = true;
  auto samples = Samples(Metrics(sources_));
  EXPECT_EQ(samples["vllm:num_requests_running{model_name=demoengine=0}"], 3);
  EXPECT_EQ(samples["vllm:num_requests_waiting{model_name=demoengine=0}"], 5);
  EXPECT_EQ(samples["vllm:kv_cache_usage_perc{model_name=demoengine=0}"], 0.75);
}

TEST_F(MetricsTest, DrainingInfoAndProcess) {
  stats_.draining = true;
  auto samples = Samples(Metrics(sources_));
  EXPECT_EQ(samples["winnow_draining"], 1);
  EXPECT_EQ(samples["winnow_model_info{model_name=demomodel_type=gated_deltanetbackend=cpu}"], 1);
  EXPECT_GT(samples["process_resident_memory_bytes"], 1 << 20);
  EXPECT_GT(samples["process_start_time_seconds"], 1.6e9);
}

TEST_F(MetricsTest, EveryNameIsThereOnceWithHelp) {
  std::set<std::string> names;
  for (const prometheus::MetricFamily& family : Metrics(sources_).Collect()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_FALSE(family.help.empty()) << family.name;
  }
}

}  // namespace
}  // namespace winnow
