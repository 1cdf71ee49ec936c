// A run as JSON, with the keys that `vllm bench serve` writes and some more.
#ifndef WINNOW_CLIENT_LOAD_REPORT_JSON_H_
#define WINNOW_CLIENT_LOAD_REPORT_JSON_H_

#include "client/load/load_options.h"
#include "client/load/measured_stage.h"
#include "nlohmann/json_fwd.hpp"

namespace winnow::load {

// One stage's figures and, request by request in the order of their scheduled times and without
// the warm-up, input_lens, output_lens, ttfts and itls (seconds), errors ("" where there is none).
nlohmann::json StageToJson(const MeasuredStage& stage);

// The run's own keys, and its stages: of a single stage the keys stand at the top, of several they
// are the array "stages".
nlohmann::json RunToJson(const LoadOptions& options, const MeasuredRun& run);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_REPORT_JSON_H_
