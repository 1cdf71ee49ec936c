// Turns: who is served in a step, and with how many tokens. The scheduler's only policy on running
// sequences (choices of requests).
//
// Two kinds of sequences take turns, each kind by itself: those that generate (one token each) and
// those whose prompt is being computed (one piece each: up to the next absolute multiple of the
// piece size, whole or not at all). In both the one that waits longest is first; of equal ones the
// one whose request arrived first, and of its choices the lower one.
// What a sequence has yet to compute is counted from what is planned, not from what is committed;
// one that has to wait for a commit (Request::can_go_on) has no turn.
//
// Generating sequences are served first, but leave the share of prompts free: the first prompt's
// next piece, in every step if that is at most half of the budget, else whenever the step before
// passed that prompt over. What is left then goes to prompts; one whose piece does not fit lets
// others pass.
//
// So nobody starves, for any budget >= 1 and whoever comes or goes. With R running sequences:
//   - Of two steps in a row, one at least leaves half of the budget (rounded up) to generating
//     ones, so each of them is served within 2 * ceil(R / ceil(budget / 2)) steps.
//   - Of two steps in a row, one at least serves the first prompt, and nobody overtakes those who
//     wait longer, so each prompt is served within 2 * R steps.
#ifndef WINNOW_SCHEDULER_TURNS_H_
#define WINNOW_SCHEDULER_TURNS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "scheduler/request.h"

namespace winnow {

// The next num_tokens tokens of a sequence are in the step.
struct Turn {
  std::shared_ptr<Request> request;
  Sequence* sequence = nullptr;  // of the request
  int64_t num_tokens = 0;
};

class Turns {
 public:
  // REQUIRES: 1 <= prompt_piece <= max_step_tokens.
  Turns(int64_t max_step_tokens, int64_t prompt_piece);

  // The next step's turns: at most max_step_tokens tokens, a sequence at most once; not empty if
  // anything runs that can go on. Reads Sequence::last_step, which the caller keeps.
  std::vector<Turn> Choose(absl::Span<const std::shared_ptr<Request>> running);

  int64_t prompt_piece() const { return prompt_piece_; }

 private:
  Turn NextTurn(const std::shared_ptr<Request>& request, Sequence& sequence) const;
  int64_t PromptShare(absl::Span<const Turn> prompts) const;

  const int64_t max_step_tokens_;
  const int64_t prompt_piece_;
  bool prompt_passed_over_ = false;  // the last step did not serve the first prompt
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_TURNS_H_
