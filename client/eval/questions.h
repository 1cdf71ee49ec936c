// Questions: all that an evaluation asks, as requests for the load test's machinery.
#ifndef WINNOW_CLIENT_EVAL_QUESTIONS_H_
#define WINNOW_CLIENT_EVAL_QUESTIONS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "client/demo_world.h"
#include "client/eval/cell.h"
#include "client/eval/cell_plan.h"
#include "client/eval/eval_text.h"
#include "client/load/request_source.h"

namespace winnow::eval {

// Which text of which cell a request is about.
struct Asked {
  size_t cell = 0;
  int64_t text = 0;     // of the cell's
  size_t question = 0;  // of the text's
};

// Immutable: every variant is asked the same. Holds all texts in memory.
class Questions {
 public:
  // Errors are the counter's.
  static absl::StatusOr<Questions> Make(const std::vector<PlannedCell>& plan, uint64_t seed,
                                        const TokenCounter& count);

  const std::vector<Cell>& cells() const { return cells_; }
  // Number of requests: cell by cell, text by text, question by question.
  int64_t size() const { return static_cast<int64_t>(asked_.size()); }
  // REQUIRES: 0 <= number < size().
  const Asked& asked(int64_t number) const { return asked_[static_cast<size_t>(number)]; }
  const Question& question(int64_t number) const;
  // Greedy, ends after a code.
  v1::GenerateRequest Request(int64_t number) const;
  // One of the longest prompts. REQUIRES: size() > 0.
  int64_t Longest() const;

 private:
  std::vector<Cell> cells_;
  std::vector<std::vector<EvalText>> texts_;  // of each cell
  std::vector<Asked> asked_;
};

// All of them in order, once. `questions` must outlive it.
class QuestionSource final : public load::RequestSource {
 public:
  explicit QuestionSource(const Questions* questions) : questions_(questions) {}

  // REQUIRES: called at most questions->size() times.
  load::PlannedRequest Next() override;

 private:
  const Questions* const questions_;
  int64_t next_ = 0;
};

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_QUESTIONS_H_
