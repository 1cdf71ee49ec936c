#include "server/metrics.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/finish_reason_name.h"
#include "server/process_stats.h"
#include "server/version.h"

namespace winnow {
namespace {

double Ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

template <typename Integer>
double Number(Integer count) {
  return static_cast<double>(count);
}

// Requests that ended: the engine's, and those that their clients ended before it had them.
uint64_t NumFinished(const WorkCounts& work, const CallCounts& calls, FinishReason reason) {
  uint64_t num = work.finished[static_cast<size_t>(reason)];
  if (reason == FinishReason::kCancelled) num += calls.cancelled();
  if (reason == FinishReason::kDeadline) num += calls.late();
  return num;
}

void AddTokens(const EngineStats& stats, MetricFamilies* families) {
  families->Counter("winnow_prompt_tokens_total", "Prompt tokens computed",
                    Number(stats.num_prompt_tokens));
  families->Counter("winnow_generated_tokens_total", "Tokens sampled",
                    Number(stats.num_generated_tokens));
  families->Histogram("winnow_request_prompt_tokens", "Prompt tokens of a request that ended",
                      stats.work.prompt_tokens);
  families->Histogram("winnow_request_generated_tokens",
                      "Tokens generated for a request that ended, of all its choices",
                      stats.work.generated_tokens);
}

void AddTimes(const WorkCounts& work, MetricFamilies* families) {
  families->Histogram("winnow_queue_seconds", "From a request's arrival to its admission",
                      work.queue_seconds);
  families->Histogram("winnow_prefill_seconds", "From admission until the prompt is computed",
                      work.prefill_seconds);
  families->Histogram("winnow_time_to_first_token_seconds", "From arrival to the first token",
                      work.first_token_seconds);
  families->Histogram("winnow_inter_token_seconds", "Between two tokens of a choice",
                      work.inter_token_seconds);
  families->Histogram("winnow_decode_seconds", "From the first token to the request's end",
                      work.decode_seconds);
  families->Histogram("winnow_request_seconds", "From a request's arrival to its end",
                      work.request_seconds);
}

void AddPools(const LoadStats& load, MetricFamilies* families) {
  families->Gauge("winnow_slots_used", "Slots that hold a sequence's state",
                  Number(load.slots_used));
  families->Gauge("winnow_slots_reserved", "Slots promised to running requests",
                  Number(load.slots_reserved));
  families->Gauge("winnow_slots_capacity", "Slots there are", Number(load.slots_total));
  families->Gauge("winnow_slots_used_ratio", "Slots used of those there are",
                  Ratio(load.slots_used, load.slots_total));
  families->Gauge("winnow_slots_reserved_ratio", "Slots promised of those there are",
                  Ratio(load.slots_reserved, load.slots_total));
  families->Gauge("winnow_pages_used", "Pages that hold keys and values", Number(load.pages_used));
  families->Gauge("winnow_pages_reserved", "Pages promised to running requests",
                  Number(load.pages_reserved));
  families->Gauge("winnow_pages_capacity", "Pages there are", Number(load.pages_total));
  families->Gauge("winnow_pages_used_ratio", "Pages used of those there are",
                  Ratio(load.pages_used, load.pages_total));
  families->Gauge("winnow_pages_reserved_ratio", "Pages promised of those there are",
                  Ratio(load.pages_reserved, load.pages_total));
}

void AddKeptTokens(const WorkCounts& work, MetricFamilies* families) {
  for (const WorkCounts::KeptTokens& kept : work.kept_tokens) {
    families->Histogram("winnow_kept_tokens",
                        "Tokens that each head of the layer had kept when a sequence ended",
                        kept.tokens, {{"layer", absl::StrCat(kept.layer)}});
  }
}

void AddProcess(MetricFamilies* families) {
  const ProcessStats process = ReadProcessStats();
  families->Counter("process_cpu_seconds_total", "User and system time", process.cpu_seconds);
  families->Gauge("process_resident_memory_bytes", "Memory that is present",
                  Number(process.resident_bytes));
  families->Gauge("process_virtual_memory_bytes", "Address space", Number(process.virtual_bytes));
  families->Gauge("process_open_fds", "Open files and sockets", Number(process.open_fds));
  families->Gauge("process_max_fds", "Limit of open files and sockets", process.max_fds);
  families->Gauge("process_start_time_seconds", "Unix time of the start",
                  process.start_time_seconds);
}

}  // namespace

Metrics::Metrics(MetricsSources sources)
    : sources_(std::move(sources)), idle_ratio_(sources_.now()) {}

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  const EngineStats stats = sources_.engine();
  MetricFamilies families;
  AddRequests(stats, &families);
  AddTokens(stats, &families);
  AddTimes(stats.work, &families);
  AddPools(stats.load, &families);
  AddKeptTokens(stats.work, &families);
  AddSteps(stats, &families);
  AddInfo(&families);
  AddProcess(&families);
  if (sources_.vllm_aliases) AddAliases(stats.load, &families);
  return families.Take();
}

void Metrics::AddRequests(const EngineStats& stats, MetricFamilies* families) const {
  families->Gauge("winnow_requests_running", "Requests that have slots and pages",
                  Number(stats.load.running));
  families->Gauge("winnow_requests_waiting", "Requests that wait for slots and pages",
                  Number(stats.load.waiting));
  families->Gauge("winnow_waiting_prompt_tokens", "Prompt tokens of waiting requests",
                  Number(stats.load.waiting_prompt_tokens));
  for (size_t i = 0; i < kNumFinishReasons; ++i) {
    const auto reason = static_cast<FinishReason>(i);
    families->Counter("winnow_requests_finished_total", "Requests that ended",
                      Number(NumFinished(stats.work, *sources_.calls, reason)),
                      {{"reason", FinishReasonName(reason)}});
  }
  for (size_t i = 0; i < kNumRejectReasons; ++i) {
    const auto reason = static_cast<RejectReason>(i);
    uint64_t num = sources_.calls->rejected(reason);
    if (reason == RejectReason::kDraining) num += stats.work.turned_away;
    families->Counter("winnow_requests_rejected_total", "Requests that were turned away",
                      Number(num), {{"reason", RejectReasonName(reason)}});
  }
  families->Gauge("winnow_draining", "1 while the server shuts down", stats.draining ? 1 : 0);
}

void Metrics::AddSteps(const EngineStats& stats, MetricFamilies* families) const {
  const WorkCounts& work = stats.work;
  families->Counter("winnow_steps_total", "Steps that ended", Number(stats.num_steps));
  families->Counter("winnow_steps_failed_total", "Steps that failed", Number(work.failed_steps));
  families->Histogram("winnow_step_seconds", "From a step's plan to its end", work.step_seconds);
  families->Histogram("winnow_step_tokens", "Tokens in a step", work.step_tokens);
  families->Histogram("winnow_step_sequences", "Sequences in a step", work.step_sequences);
  families->Gauge("winnow_engine_idle_ratio", "Share of the last 10 to 20 s without a step",
                  idle_ratio_.Update(sources_.now(), absl::Seconds(work.step_seconds.sum)));
}

void Metrics::AddInfo(MetricFamilies* families) const {
  families->Gauge("winnow_build_info", "The program", 1, {{"version", kVersion}});
  const v1::GetModelInfoResponse& model = sources_.model;
  families->Gauge("winnow_model_info", "The model", 1,
                  {{"model_name", model.name()},
                   {"model_type", model.model_type()},
                   {"backend", model.backend()}});
}

void Metrics::AddAliases(const LoadStats& load, MetricFamilies* families) const {
  const MetricFamilies::Labels labels = {{"model_name", sources_.model.name()}, {"engine", "0"}};
  families->Gauge("vllm:num_requests_running", "As winnow_requests_running", Number(load.running),
                  labels);
  families->Gauge("vllm:num_requests_waiting", "As winnow_requests_waiting", Number(load.waiting),
                  labels);
  families->Gauge("vllm:kv_cache_usage_perc",
                  "The larger of winnow_slots_reserved_ratio and winnow_pages_reserved_ratio, 0..1",
                  std::max(Ratio(load.slots_reserved, load.slots_total),
                           Ratio(load.pages_reserved, load.pages_total)),
                  labels);
}

}  // namespace winnow
