#include "client/load/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"

namespace winnow::load {
namespace {

double Ms(int64_t ns) { return static_cast<double>(ns) * 1e-6; }

// The most calls that were open at one time.
int64_t MaxConcurrent(const std::vector<CallRecord>& records) {
  std::vector<std::pair<int64_t, int>> changes;
  changes.reserve(2 * records.size());
  for (const CallRecord& record : records) {
    changes.emplace_back(record.sent_ns, 1);
    changes.emplace_back(record.end_ns, -1);
  }
  std::sort(changes.begin(), changes.end());
  int64_t open = 0, most = 0;
  for (const auto& [unused, change] : changes) most = std::max(most, open += change);
  return most;
}

// Values of one stage before they are summarized.
struct Samples {
  std::vector<double> ttft, tpot, itl, e2el, lateness;

  void Add(const CallRecord& record) {
    lateness.push_back(Ms(record.sent_ns - record.scheduled_ns));
    if (!record.completed() || record.behaviour == Behaviour::kReadSlowly) return;
    e2el.push_back(EndToEndMs(record));
    if (const auto ms = TtftMs(record); ms.has_value()) ttft.push_back(*ms);
    if (const auto ms = TpotMs(record); ms.has_value()) tpot.push_back(*ms);
    for (const uint32_t gap_us : record.gaps_us) itl.push_back(gap_us * 1e-3);
  }
};

void Count(const CallRecord& record, StageSummary* summary) {
  summary->received_messages += record.messages;
  summary->received_tokens += record.output_tokens;
  if (record.warmup) {
    ++summary->warmup_requests;
    return;
  }
  if (record.failed()) {
    ++summary->failed;
    ++summary->errors[absl::StrCat(absl::StatusCodeToString(record.code), ": ", record.message)];
    return;
  }
  ++(record.completed() ? summary->completed : summary->cancelled);
  summary->total_input_tokens += record.prompt_tokens;
  summary->total_output_tokens += record.output_tokens;
}

void SetRates(StageSummary* summary) {
  if (summary->duration <= 0) return;
  const auto per_second = [&](int64_t count) {
    return static_cast<double>(count) / summary->duration;
  };
  summary->request_throughput = per_second(summary->completed);
  summary->output_throughput = per_second(summary->total_output_tokens);
  summary->total_token_throughput =
      per_second(summary->total_input_tokens + summary->total_output_tokens);
}

void SetGoodput(const std::vector<CallRecord>& records, const Slos& slos, StageSummary* summary) {
  int64_t num_good = 0, num = 0;
  for (const CallRecord& record : records) {
    if (record.warmup || record.behaviour != Behaviour::kRead) continue;
    ++num;
    num_good += IsGood(record, slos);
  }
  summary->good_share = num > 0 ? static_cast<double>(num_good) / static_cast<double>(num) : 0;
  summary->request_goodput =
      summary->duration > 0 ? static_cast<double>(num_good) / summary->duration : 0;
}

}  // namespace

double Percentile(const std::vector<double>& sorted, double percent) {
  WINNOW_CHECK(!sorted.empty() && percent >= 0 && percent <= 100) << percent;
  const double position = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double fraction = position - static_cast<double>(below);
  return sorted[below] + fraction * (sorted[above] - sorted[below]);
}

Distribution Summarize(std::vector<double> values) {
  Distribution result;
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  result.count = static_cast<int64_t>(values.size());
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.std = std::sqrt(squares / n);
  result.median = result.p50 = Percentile(values, 50);
  result.p90 = Percentile(values, 90);
  result.p95 = Percentile(values, 95);
  result.p99 = Percentile(values, 99);
  result.max = values.back();
  return result;
}

double EndToEndMs(const CallRecord& record) { return Ms(record.end_ns - record.scheduled_ns); }

std::optional<double> TtftMs(const CallRecord& record) {
  if (!record.first_token_ns.has_value()) return std::nullopt;
  return Ms(*record.first_token_ns - record.scheduled_ns);
}

std::optional<double> TpotMs(const CallRecord& record) {
  const std::optional<double> ttft = TtftMs(record);
  if (!ttft.has_value() || record.output_tokens < 2) return std::nullopt;
  return (EndToEndMs(record) - *ttft) / (record.output_tokens - 1);
}

bool IsGood(const CallRecord& record, const Slos& slos) {
  const auto keeps = [](std::optional<double> value, std::optional<double> limit) {
    return !value.has_value() || !limit.has_value() || *value <= *limit;
  };
  return record.completed() && keeps(TtftMs(record), slos.ttft_ms) &&
         keeps(TpotMs(record), slos.tpot_ms) && keeps(EndToEndMs(record), slos.e2el_ms);
}

StageSummary SummarizeStage(const std::string& level, const std::vector<CallRecord>& records,
                            const StageWindow& window, const Slos& slos, double cpu_seconds) {
  StageSummary summary;
  summary.level = level;
  Samples samples;
  std::optional<int64_t> begin_ns = window.begin_ns;
  int64_t end_ns = window.end_ns.value_or(0);
  for (const CallRecord& record : records) {
    Count(record, &summary);
    if (record.warmup) continue;
    samples.Add(record);
    begin_ns = std::min(begin_ns.value_or(record.scheduled_ns), record.scheduled_ns);
    end_ns = std::max(end_ns, record.end_ns);
  }
  if (begin_ns.has_value()) summary.duration = static_cast<double>(end_ns - *begin_ns) * 1e-9;
  SetRates(&summary);
  if (!slos.empty()) SetGoodput(records, slos, &summary);
  summary.max_concurrent_requests = MaxConcurrent(records);
  summary.ttft = Summarize(std::move(samples.ttft));
  summary.tpot = Summarize(std::move(samples.tpot));
  summary.itl = Summarize(std::move(samples.itl));
  summary.e2el = Summarize(std::move(samples.e2el));
  summary.lateness = Summarize(std::move(samples.lateness));
  if (summary.received_messages > 0) {
    summary.cpu_us_per_message = cpu_seconds * 1e6 / static_cast<double>(summary.received_messages);
  }
  return summary;
}

}  // namespace winnow::load
