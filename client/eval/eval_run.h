// A whole evaluation: every variant is asked all questions, one variant after the other, and timed
// if that is wanted.
#ifndef WINNOW_CLIENT_EVAL_EVAL_RUN_H_
#define WINNOW_CLIENT_EVAL_EVAL_RUN_H_

#include "absl/status/statusor.h"
#include "client/eval/eval_options.h"
#include "client/eval/results.h"
#include "client/load/stopper.h"

namespace winnow::eval {

// Of one sequence alone, with EvalOptions::time.
inline constexpr int64_t kTimedRequests = 3;

// Blocks until all has ended, or soon after the stopper says so: then the last variant has what was
// answered until then. Progress goes to standard error if that is a terminal. The first variant's
// tokenizer counts the texts' tokens. Errors, before anything is asked: a file that cannot be read,
// a server that cannot be reached or has no tokenizer, by name.
absl::StatusOr<EvalResult> RunEval(const EvalOptions& options, load::Stopper* stopper);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVAL_RUN_H_
