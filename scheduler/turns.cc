#include "scheduler/turns.h"

#include <algorithm>
#include <tuple>

#include "kernels/check.h"

namespace winnow {
namespace {

bool WaitsLonger(const Turn& a, const Turn& b) {
  return std::tie(a.sequence->last_step, a.request->order, a.sequence->choice) <
         std::tie(b.sequence->last_step, b.request->order, b.sequence->choice);
}

}  // namespace

Turns::Turns(int64_t max_step_tokens, int64_t prompt_piece)
    : max_step_tokens_(max_step_tokens), prompt_piece_(prompt_piece) {
  WINNOW_CHECK(1 <= prompt_piece && prompt_piece <= max_step_tokens)
      << prompt_piece << " of " << max_step_tokens;
}

std::vector<Turn> Turns::Choose(absl::Span<const std::shared_ptr<Request>> running) {
  std::vector<Turn> generating, prompts;
  for (const std::shared_ptr<Request>& request : running) {
    for (Sequence& sequence : request->sequences) {
      if (sequence.state != SequenceState::kRunning || !request->can_go_on(sequence)) continue;
      (request->prompt_planned(sequence) ? generating : prompts)
          .push_back(NextTurn(request, sequence));
    }
  }
  std::sort(generating.begin(), generating.end(), WaitsLonger);
  std::sort(prompts.begin(), prompts.end(), WaitsLonger);

  std::vector<Turn> turns;
  int64_t budget = max_step_tokens_;
  const auto serve = [&](const Turn& turn) {
    turns.push_back(turn);
    budget -= turn.num_tokens;
  };
  const int64_t share = PromptShare(prompts);
  for (const Turn& turn : generating) {
    if (turn.num_tokens > budget - share) break;
    serve(turn);
  }
  prompt_passed_over_ = !prompts.empty() && prompts.front().num_tokens > budget;
  for (const Turn& turn : prompts) {
    if (turn.num_tokens <= budget) serve(turn);
  }
  return turns;
}

Turn Turns::NextTurn(const std::shared_ptr<Request>& request, Sequence& sequence) const {
  if (request->prompt_planned(sequence)) return {request, &sequence, 1};
  const int64_t done = sequence.num_planned;
  const int64_t piece_end = (done / prompt_piece_ + 1) * prompt_piece_;
  return {request, &sequence, std::min(request->num_prompt(), piece_end) - done};
}

int64_t Turns::PromptShare(absl::Span<const Turn> prompts) const {
  if (prompts.empty()) return 0;
  const int64_t piece = prompts.front().num_tokens;
  return prompt_passed_over_ || 2 * piece <= max_step_tokens_ ? piece : 0;
}

}  // namespace winnow
