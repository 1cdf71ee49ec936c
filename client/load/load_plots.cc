#include "client/load/load_plots.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace winnow::load {
namespace {

constexpr size_t kMaxPoints = 500;
constexpr size_t kMaxDots = 1500;  // for each stage
constexpr int kBuckets = 150;      // of the time of a run

bool CountsForLatency(const CallRecord& record) {
  return !record.warmup && record.completed() && record.behaviour != Behaviour::kReadSlowly;
}

Plot Cdf(const MeasuredRun& run, std::string title, std::string x_label,
         const std::function<void(const CallRecord&, std::vector<double>*)>& add) {
  Plot plot = {
      .title = std::move(title), .x_label = std::move(x_label), .y_label = "share", .log_x = true};
  for (const MeasuredStage& stage : run.stages) {
    std::vector<double> values;
    for (const CallRecord& record : stage.records) {
      if (CountsForLatency(record)) add(record, &values);
    }
    std::sort(values.begin(), values.end());
    plot.series.push_back({.name = stage.summary.level, .points = CdfPoints(values)});
  }
  return plot;
}

double LevelOf(const MeasuredStage& stage) {
  if (const auto* rate = std::get_if<RateRange>(&stage.level)) return (rate->begin + rate->end) / 2;
  return std::get<Concurrency>(stage.level).requests;
}

// Stages in ascending order of their levels: a search tries them in another.
Series AgainstLevel(const MeasuredRun& run, std::string name,
                    const std::function<double(const StageSummary&)>& figure) {
  Series series = {.name = std::move(name), .points = {}, .drawn = Drawn::kLineWithDots};
  for (const MeasuredStage& stage : run.stages) {
    series.points.push_back({LevelOf(stage), figure(stage.summary)});
  }
  std::sort(series.points.begin(), series.points.end(),
            [](const Point& a, const Point& b) { return a.x < b.x; });
  return series;
}

Plot PlotAgainstLevel(const MeasuredRun& run, std::string title, std::string y_label) {
  const bool open = !run.stages.empty() && std::holds_alternative<RateRange>(run.stages[0].level);
  return {.title = std::move(title),
          .x_label = open ? "offered rate, requests/s" : "concurrency, requests",
          .y_label = std::move(y_label)};
}

// The time of a run, cut into equal pieces.
struct Timeline {
  int64_t begin_ns = 0;
  double bucket_seconds = 1;

  double Seconds(int64_t ns) const { return static_cast<double>(ns - begin_ns) * 1e-9; }
  size_t Bucket(int64_t ns) const {
    const double bucket = std::floor(Seconds(ns) / bucket_seconds);
    return static_cast<size_t>(std::clamp(bucket, 0.0, kBuckets - 1.0));
  }
};

Timeline TimelineOf(const MeasuredRun& run) {
  Timeline timeline;
  if (run.stages.empty()) return timeline;
  timeline.begin_ns = run.stages[0].start_ns;
  int64_t end_ns = timeline.begin_ns + 1;
  for (const MeasuredStage& stage : run.stages) {
    for (const CallRecord& record : stage.records) end_ns = std::max(end_ns, record.end_ns);
  }
  timeline.bucket_seconds = timeline.Seconds(end_ns) / kBuckets;
  return timeline;
}

// Adds the record's tokens where they came. Messages carry the same number each here: how many each
// had is not kept.
void AddTokens(const CallRecord& record, const Timeline& timeline, std::vector<double>* buckets) {
  if (!record.first_token_ns.has_value()) return;
  const double tokens =
      static_cast<double>(record.output_tokens) / static_cast<double>(record.gaps_us.size() + 1);
  int64_t time_ns = *record.first_token_ns;
  (*buckets)[timeline.Bucket(time_ns)] += tokens;
  for (const uint32_t gap_us : record.gaps_us) {
    time_ns += int64_t{gap_us} * 1000;
    (*buckets)[timeline.Bucket(time_ns)] += tokens;
  }
}

Series OverTime(std::string name, const std::vector<double>& buckets, double scale,
                const Timeline& timeline) {
  Series series = {.name = std::move(name)};
  for (size_t i = 0; i < buckets.size(); ++i) {
    series.points.push_back(
        {(static_cast<double>(i) + 0.5) * timeline.bucket_seconds, buckets[i] * scale});
  }
  return series;
}

}  // namespace

std::vector<Point> CdfPoints(const std::vector<double>& sorted) {
  std::vector<Point> points;
  const size_t n = sorted.size(), step = n / kMaxPoints + 1;
  for (size_t i = 0; i < n; i += step) {
    points.push_back({sorted[i], static_cast<double>(i + 1) / static_cast<double>(n)});
  }
  if (n > 0 && (n - 1) % step != 0) points.push_back({sorted[n - 1], 1});
  return points;
}

Plot TtftCdf(const LoadOptions& options, const MeasuredRun& run) {
  Plot plot = Cdf(run, "Time to the first token", "milliseconds from the scheduled send time",
                  [](const CallRecord& record, std::vector<double>* values) {
                    if (const auto ms = TtftMs(record); ms.has_value()) values->push_back(*ms);
                  });
  if (options.slos.ttft_ms.has_value()) {
    plot.marks.push_back({.name = "objective", .value = *options.slos.ttft_ms});
  }
  return plot;
}

Plot InterTokenCdf(const MeasuredRun& run) {
  return Cdf(run, "Gaps between tokens", "milliseconds between messages with tokens",
             [](const CallRecord& record, std::vector<double>* values) {
               for (const uint32_t gap_us : record.gaps_us) values->push_back(gap_us * 1e-3);
             });
}

Plot RequestsAgainstLevel(const MeasuredRun& run) {
  Plot plot = PlotAgainstLevel(run, "Requests against load", "requests/s");
  plot.series = {
      AgainstLevel(run, "completed", [](const StageSummary& s) { return s.request_throughput; })};
  const bool goodput = !run.stages.empty() && run.stages[0].summary.request_goodput.has_value();
  if (goodput) {
    plot.series.push_back(AgainstLevel(
        run, "good", [](const StageSummary& s) { return s.request_goodput.value_or(0); }));
  }
  return plot;
}

Plot TokensAgainstLevel(const MeasuredRun& run) {
  Plot plot = PlotAgainstLevel(run, "Tokens against load", "tokens/s");
  plot.series = {
      AgainstLevel(run, "output", [](const StageSummary& s) { return s.output_throughput; }),
      AgainstLevel(run, "prompt and output",
                   [](const StageSummary& s) { return s.total_token_throughput; })};
  return plot;
}

Plot LatencyAgainstLevel(const LoadOptions& options, const MeasuredRun& run) {
  Plot plot = PlotAgainstLevel(run, "Latency against load", "milliseconds");
  plot.log_y = true;
  plot.series = {
      AgainstLevel(run, "first token, p50", [](const StageSummary& s) { return s.ttft.p50; }),
      AgainstLevel(run, "first token, p99", [](const StageSummary& s) { return s.ttft.p99; }),
      AgainstLevel(run, "inter-token, p50", [](const StageSummary& s) { return s.itl.p50; }),
      AgainstLevel(run, "inter-token, p99", [](const StageSummary& s) { return s.itl.p99; }),
      AgainstLevel(run, "end to end, p50", [](const StageSummary& s) { return s.e2el.p50; })};
  if (options.slos.ttft_ms.has_value()) {
    plot.marks.push_back({"objective for the first token", *options.slos.ttft_ms, false});
  }
  return plot;
}

Plot TokensOverTime(const MeasuredRun& run) {
  const Timeline timeline = TimelineOf(run);
  std::vector<double> buckets(kBuckets);
  for (const MeasuredStage& stage : run.stages) {
    for (const CallRecord& record : stage.records) AddTokens(record, timeline, &buckets);
  }
  return {.title = "Output tokens over time",
          .x_label = "seconds since the start",
          .y_label = "tokens/s",
          .series = {OverTime("received", buckets, 1 / timeline.bucket_seconds, timeline)}};
}

Plot OpenOverTime(const MeasuredRun& run) {
  const Timeline timeline = TimelineOf(run);
  // Seconds that requests were open in each piece of time, over its length.
  std::vector<double> buckets(kBuckets);
  for (const MeasuredStage& stage : run.stages) {
    for (const CallRecord& record : stage.records) {
      const double sent = timeline.Seconds(record.sent_ns), end = timeline.Seconds(record.end_ns);
      const size_t last = timeline.Bucket(record.end_ns);
      for (size_t i = timeline.Bucket(record.sent_ns); i <= last; ++i) {
        const double begin = static_cast<double>(i) * timeline.bucket_seconds;
        buckets[i] +=
            std::max(0.0, std::min(end, begin + timeline.bucket_seconds) - std::max(sent, begin));
      }
    }
  }
  return {.title = "Open requests over time",
          .x_label = "seconds since the start",
          .y_label = "requests",
          .series = {OverTime("sent, not ended", buckets, 1 / timeline.bucket_seconds, timeline)}};
}

Plot TtftOverTime(const MeasuredRun& run) {
  const Timeline timeline = TimelineOf(run);
  Plot plot = {.title = "Time to the first token over time",
               .x_label = "seconds since the start, when the request was to be sent",
               .y_label = "milliseconds",
               .log_y = true};
  for (const MeasuredStage& stage : run.stages) {
    Series series = {.name = stage.summary.level, .points = {}, .drawn = Drawn::kDots};
    const size_t step = stage.records.size() / kMaxDots + 1;
    for (size_t i = 0; i < stage.records.size(); i += step) {
      const CallRecord& record = stage.records[i];
      if (record.behaviour == Behaviour::kReadSlowly) continue;
      if (const auto ms = TtftMs(record); ms.has_value()) {
        series.points.push_back({timeline.Seconds(record.scheduled_ns), *ms});
      }
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

}  // namespace winnow::load
