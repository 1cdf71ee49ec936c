// The texts of an evaluation: filler with facts in the demo model's world, and questions about
// them.
#ifndef WINNOW_CLIENT_EVAL_EVAL_TEXT_H_
#define WINNOW_CLIENT_EVAL_EVAL_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/demo_world.h"
#include "client/eval/cell.h"

namespace winnow::eval {

struct Question {
  std::string ending;              // follows the text, begins with a space, asks for a code
  std::vector<std::string> codes;  // any of them is right
};

// Questions after the first one repeat those before them, with their right answers: a model answers
// all questions of a conversation if and only if it answers each after the right answers before it.
struct EvalText {
  std::string text;
  std::vector<Question> questions;  // at least one
};

// Text number `index` of a cell. Everything follows from (seed, cell, index). REQUIRES: cell.tokens
// >= LeastTokens(cell). Errors are the counter's.
absl::StatusOr<EvalText> MakeEvalText(uint64_t seed, const Cell& cell, int64_t index,
                                      const TokenCounter& count);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVAL_TEXT_H_
