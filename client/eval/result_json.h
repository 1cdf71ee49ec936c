// An evaluation's result as JSON, and back.
#ifndef WINNOW_CLIENT_EVAL_RESULT_JSON_H_
#define WINNOW_CLIENT_EVAL_RESULT_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/eval/results.h"
#include "nlohmann/json_fwd.hpp"

namespace winnow::eval {

// The run's own keys, and an array "variants", each with its "model", as GetModelInfo says it, and
// its "cells": counts, shares, intervals and all answers. A cell that a variant was not asked is
// left out.
nlohmann::json ResultToJson(const EvalResult& result);

// The same on one line, for a file; bytes of answers that are not UTF-8 become U+FFFD.
std::string ResultToJsonText(const EvalResult& result);

// What ResultToJsonText has written. INVALID_ARGUMENT says what is wrong with any other text.
absl::StatusOr<EvalResult> ResultFromJsonText(const std::string& text);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_RESULT_JSON_H_
