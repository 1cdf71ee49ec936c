// One stage of a run, as the reports see it.
#ifndef WINNOW_CLIENT_LOAD_MEASURED_STAGE_H_
#define WINNOW_CLIENT_LOAD_MEASURED_STAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/load/call_record.h"
#include "client/load/load_options.h"
#include "client/load/statistics.h"

namespace winnow::load {

struct MeasuredStage {
  LoadLevel level;
  std::vector<CallRecord> records = {};  // in the order of their scheduled times
  int64_t start_ns = 0;                  // steady clock
  StageSummary summary = {};
};

struct MeasuredRun {
  std::string model = {}, backend = {};  // as the server says
  std::string date = {};                 // of its start, RFC 3339
  int64_t retries = 0;                   // attempts beyond the first of each call
  std::vector<MeasuredStage> stages = {};
  // Of --find_max_rate: requests per second; absent if not even the lowest rate tried met the
  // objectives.
  std::optional<double> max_rate = {};
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_MEASURED_STAGE_H_
