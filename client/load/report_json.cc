#include "client/load/report_json.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace winnow::load {
namespace {

using nlohmann::json;

void AddDistribution(const Distribution& distribution, const std::string& name, json* out) {
  (*out)["mean_" + name] = distribution.mean;
  (*out)["median_" + name] = distribution.median;
  (*out)["std_" + name] = distribution.std;
  (*out)["p50_" + name] = distribution.p50;
  (*out)["p90_" + name] = distribution.p90;
  (*out)["p95_" + name] = distribution.p95;
  (*out)["p99_" + name] = distribution.p99;
}

void AddRequests(const std::vector<CallRecord>& records, json* out) {
  json& input_lens = (*out)["input_lens"] = json::array();
  json& output_lens = (*out)["output_lens"] = json::array();
  json& ttfts = (*out)["ttfts"] = json::array();
  json& itls = (*out)["itls"] = json::array();
  json& errors = (*out)["errors"] = json::array();
  for (const CallRecord& record : records) {
    if (record.warmup) continue;
    input_lens.push_back(record.prompt_tokens);
    output_lens.push_back(record.output_tokens);
    ttfts.push_back(TtftMs(record).value_or(0) * 1e-3);
    json gaps = json::array();
    for (const uint32_t gap_us : record.gaps_us) gaps.push_back(gap_us * 1e-6);
    itls.push_back(std::move(gaps));
    errors.push_back(record.failed()
                         ? absl::StrCat(absl::StatusCodeToString(record.code), ": ", record.message)
                         : "");
  }
}

}  // namespace

json StageToJson(const MeasuredStage& stage) {
  const StageSummary& summary = stage.summary;
  json out = {{"level", summary.level},
              {"duration", summary.duration},
              {"completed", summary.completed},
              {"cancelled", summary.cancelled},
              {"failed", summary.failed},
              {"warmup_requests", summary.warmup_requests},
              {"stopped", summary.stopped},
              {"total_input_tokens", summary.total_input_tokens},
              {"total_output_tokens", summary.total_output_tokens},
              {"received_tokens", summary.received_tokens},
              {"received_messages", summary.received_messages},
              {"request_throughput", summary.request_throughput},
              {"output_throughput", summary.output_throughput},
              {"total_token_throughput", summary.total_token_throughput},
              {"request_goodput", nullptr},
              {"good_share", nullptr},
              {"max_concurrent_requests", summary.max_concurrent_requests},
              {"max_send_lateness_ms", summary.lateness.max},
              {"client_cpu_us_per_message", summary.cpu_us_per_message},
              {"errors_by_kind", summary.errors}};
  if (const auto* rate = std::get_if<RateRange>(&stage.level)) {
    out["request_rate"] = (rate->begin + rate->end) / 2;
  } else {
    out["max_concurrency"] = std::get<Concurrency>(stage.level).requests;
  }
  if (summary.request_goodput.has_value()) out["request_goodput"] = *summary.request_goodput;
  if (summary.good_share.has_value()) out["good_share"] = *summary.good_share;
  AddDistribution(summary.ttft, "ttft_ms", &out);
  AddDistribution(summary.tpot, "tpot_ms", &out);
  AddDistribution(summary.itl, "itl_ms", &out);
  AddDistribution(summary.e2el, "e2el_ms", &out);
  AddDistribution(summary.lateness, "send_lateness_ms", &out);
  AddRequests(stage.records, &out);
  return out;
}

json RunToJson(const LoadOptions& options, const MeasuredRun& run) {
  json stages = json::array();
  for (const MeasuredStage& stage : run.stages) stages.push_back(StageToJson(stage));
  json out = run.stages.size() == 1 ? stages[0] : json({{"stages", stages}});
  out["date"] = run.date;
  out["model_id"] = run.model;
  out["backend"] = run.backend;
  out["servers"] = options.servers;
  out["seed"] = options.seed;
  out["prompt_tokens"] = options.prompt_tokens.ToString();
  out["output_tokens"] = options.output_tokens.ToString();
  out["requests_file"] = options.requests_file;
  out["cancel_share"] = options.cancel_share;
  out["slow_share"] = options.slow_share;
  out["burstiness"] = nullptr;
  if (options.arrivals.burstiness.has_value()) out["burstiness"] = *options.arrivals.burstiness;
  out["retries"] = run.retries;
  if (options.find_max_rate) {
    out["max_rate"] = nullptr;
    if (run.max_rate.has_value()) out["max_rate"] = *run.max_rate;
  }
  return out;
}

}  // namespace winnow::load
