// From the records of one stage to its figures. docs/load-testing.md defines each of them.
#ifndef WINNOW_CLIENT_LOAD_STATISTICS_H_
#define WINNOW_CLIENT_LOAD_STATISTICS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/load/call_record.h"
#include "client/load/load_options.h"

namespace winnow::load {

// Of no values everything is 0.
struct Distribution {
  int64_t count = 0;
  double mean = 0, median = 0;
  double std = 0;  // of the values themselves, not of a population that they are drawn from
  double p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};
Distribution Summarize(std::vector<double> values);

// The value below which `percent` of the values lie, interpolated linearly between neighbours (as
// numpy does by default). REQUIRES: sorted, not empty, 0 <= percent <= 100.
double Percentile(const std::vector<double>& sorted, double percent);

// Times of one request in milliseconds, from its scheduled time. REQUIRES: it completed.
double EndToEndMs(const CallRecord& record);
// Absent if there was no token.
std::optional<double> TtftMs(const CallRecord& record);
// (end to end - TTFT) / (output tokens - 1); absent with less than two tokens.
std::optional<double> TpotMs(const CallRecord& record);
// A request that completed and keeps every limit. Without tokens those on tokens are kept.
bool IsGood(const CallRecord& record, const Slos& slos);

struct StageSummary {
  std::string level;
  double duration =
      0;  // seconds from the window's begin to its end or the last call's, if that is later
  int64_t completed = 0, cancelled = 0, failed = 0;  // without the warm-up
  int64_t warmup_requests = 0;
  int64_t total_input_tokens = 0, total_output_tokens = 0;  // of completed and cancelled ones
  int64_t received_messages = 0, received_tokens = 0;       // of all, with warm-up and failed ones
  double request_throughput = 0, output_throughput = 0, total_token_throughput = 0;  // per second
  // With objectives: good requests per second, and their share among those that were read at full
  // speed.
  std::optional<double> request_goodput, good_share;
  int64_t max_concurrent_requests = 0;
  Distribution ttft, tpot, itl, e2el;     // ms
  Distribution lateness;                  // ms: sent after the scheduled time
  double cpu_us_per_message = 0;          // this client's
  std::map<std::string, int64_t> errors;  // failed ones by code and message
  bool stopped = false;
};

// The time that a stage was to take, as far as that was known beforehand; steady clock. Absent:
// from the first counted request's scheduled time; to the last one's end.
struct StageWindow {
  std::optional<int64_t> begin_ns = {}, end_ns = {};
};

StageSummary SummarizeStage(const std::string& level, const std::vector<CallRecord>& records,
                            const StageWindow& window, const Slos& slos, double cpu_seconds);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_STATISTICS_H_
