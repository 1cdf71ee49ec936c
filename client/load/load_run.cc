#include "client/load/load_run.h"

#include <unistd.h>

#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/load/find_max_rate.h"
#include "client/load/progress.h"
#include "client/load/random.h"
#include "client/load/random_requests.h"
#include "client/load/retry_count.h"

namespace winnow::load {
namespace {

StagePlan PlanOf(const LoadOptions& options, const LoadLevel& level) {
  StagePlan plan = {.level = level,
                    .arrivals = options.arrivals,
                    .warmup_requests = options.warmup_requests,
                    .num_requests = options.num_requests};
  if (options.duration.has_value()) plan.seconds = absl::ToDoubleSeconds(*options.duration);
  return plan;
}

MeasuredStage Measure(const LoadOptions& options, StageResult result) {
  MeasuredStage stage = {
      .level = result.level, .records = std::move(result.records), .start_ns = result.start_ns};
  stage.summary = SummarizeStage(ToString(stage.level), stage.records, result.window, options.slos,
                                 result.cpu_seconds);
  stage.summary.stopped = result.stopped;
  return stage;
}

using RunStage = std::function<const StageSummary&(const LoadLevel&)>;

void Search(const LoadOptions& options, const RunStage& run_stage, MeasuredRun* run) {
  const double first = std::get<RateRange>(options.levels[0]).begin;
  run->max_rate = FindMaxRate(first, [&](double rate) -> std::optional<bool> {
    const StageSummary& summary = run_stage(RateRange{rate, rate});
    if (summary.stopped) return std::nullopt;
    return summary.good_share.value_or(0) >= options.slo_share;
  });
}

}  // namespace

MeasuredRun RunLoad(const LoadOptions& options, std::vector<FileRequest> requests,
                    const v1::GetModelInfoResponse& info, LoadTarget* target, Stopper* stopper) {
  MeasuredRun run = {
      .model = info.name(),
      .backend = info.backend(),
      .date = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone())};
  RandomRequests source(options, std::move(requests), info.vocab_size(), info.has_tokenizer());
  Random arrivals = MakeRandom(options.seed, RandomStream::kArrivals);
  Progress progress(!options.quiet && isatty(STDERR_FILENO) != 0);
  StageRunner runner(target, &source,
                     {.authorization = target->authorization(),
                      .timeout = options.timeout,
                      .slow_delay = options.slow_delay},
                     [&](const StageProgress& now) { progress.Show(now); });
  stopper->Watch(&runner);
  const auto run_stage = [&](const LoadLevel& level) -> const StageSummary& {
    progress.Begin(ToString(level));
    run.stages.push_back(Measure(options, runner.Run(PlanOf(options, level), &arrivals)));
    progress.End();
    return run.stages.back().summary;
  };
  if (options.find_max_rate) {
    Search(options, run_stage, &run);
  } else {
    for (const LoadLevel& level : options.levels) {
      if (run_stage(level).stopped) break;
    }
  }
  stopper->Watch(nullptr);
  run.retries = CountRetries();
  return run;
}

}  // namespace winnow::load
