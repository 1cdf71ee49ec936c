#include "client/load/report_text.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/load/text_table.h"

namespace winnow::load {
namespace {

std::string Ms(double ms) {
  return ms >= 1000 ? absl::StrFormat("%.0f", ms)
                    : absl::StrFormat(ms >= 100 ? "%.1f" : "%.2f", ms);
}

std::string Counts(const MeasuredRun& run, bool with_goodput) {
  std::vector<TextRow> rows = {{"", "done", "cancelled", "failed", "seconds", "req/s", "out tok/s",
                                "all tok/s", "most open"}};
  if (with_goodput) rows[0].insert(rows[0].end(), {"good/s", "good"});
  for (const MeasuredStage& stage : run.stages) {
    const StageSummary& summary = stage.summary;
    rows.push_back({summary.level, absl::StrCat(summary.completed), absl::StrCat(summary.cancelled),
                    absl::StrCat(summary.failed), absl::StrFormat("%.1f", summary.duration),
                    absl::StrFormat("%.2f", summary.request_throughput),
                    absl::StrFormat("%.1f", summary.output_throughput),
                    absl::StrFormat("%.1f", summary.total_token_throughput),
                    absl::StrCat(summary.max_concurrent_requests)});
    if (with_goodput) {
      rows.back().push_back(absl::StrFormat("%.2f", summary.request_goodput.value_or(0)));
      rows.back().push_back(absl::StrFormat("%.1f%%", 100 * summary.good_share.value_or(0)));
    }
  }
  return TextTable(rows);
}

std::string Latencies(const MeasuredRun& run) {
  std::vector<TextRow> rows = {{"milliseconds", "", "mean", "p50", "p90", "p95", "p99", "max"}};
  for (const MeasuredStage& stage : run.stages) {
    const StageSummary& summary = stage.summary;
    std::string level = summary.level;
    for (const auto& [name, distribution] :
         {std::pair("first token", summary.ttft), std::pair("inter-token", summary.itl),
          std::pair("per token", summary.tpot), std::pair("end to end", summary.e2el),
          std::pair("sent late", summary.lateness)}) {
      rows.push_back({level, name, Ms(distribution.mean), Ms(distribution.p50),
                      Ms(distribution.p90), Ms(distribution.p95), Ms(distribution.p99),
                      Ms(distribution.max)});
      level.clear();
    }
  }
  return TextTable(rows);
}

std::string Errors(const MeasuredRun& run) {
  std::map<std::string, int64_t> errors;
  for (const MeasuredStage& stage : run.stages) {
    for (const auto& [error, count] : stage.summary.errors) errors[error] += count;
  }
  std::string text;
  for (const auto& [error, count] : errors) {
    absl::StrAppend(&text, "  ", count, " x ", error, "\n");
  }
  return text.empty() ? "" : "\nFailed:\n" + text;
}

std::string ClientCost(const MeasuredRun& run) {
  double cpu_us = 0;
  int64_t messages = 0;
  for (const MeasuredStage& stage : run.stages) {
    const auto received = static_cast<double>(stage.summary.received_messages);
    cpu_us += stage.summary.cpu_us_per_message * received;
    messages += stage.summary.received_messages;
  }
  return absl::StrFormat("\nThe client spent %.1f us of CPU on each of %d messages.\n",
                         messages > 0 ? cpu_us / static_cast<double>(messages) : 0, messages);
}

std::string Conclusion(const LoadOptions& options, const MeasuredRun& run) {
  std::string text;
  if (options.retry_policy) absl::StrAppend(&text, "Retries: ", run.retries, "\n");
  if (!options.find_max_rate) return text;
  if (!run.max_rate.has_value()) return text + "No rate that was tried meets the objectives.\n";
  absl::StrAppendFormat(&text, "Highest rate that meets the objectives: %.3g requests/s\n",
                        *run.max_rate);
  return text;
}

}  // namespace

std::string RunToText(const LoadOptions& options, const MeasuredRun& run) {
  return absl::StrCat(run.model, " (", run.backend, ") at ", absl::StrJoin(options.servers, ", "),
                      "\n\n", Counts(run, !options.slos.empty()), "\n", Latencies(run), Errors(run),
                      ClientCost(run), Conclusion(options, run));
}

}  // namespace winnow::load
