#include "scheduler/turns.h"

#include <algorithm>
#include <tuple>

#include "kernels/check.h"

namespace winnow {
namespace {

bool WaitsLonger(const Request* a, const Request* b) {
  return std::tie(a->last_step, a->order) < std::tie(b->last_step, b->order);
}

}  // namespace

Turns::Turns(int64_t max_step_tokens, int64_t prompt_piece)
    : max_step_tokens_(max_step_tokens), prompt_piece_(prompt_piece) {
  WINNOW_CHECK(1 <= prompt_piece && prompt_piece <= max_step_tokens)
      << prompt_piece << " of " << max_step_tokens;
}

std::vector<Turn> Turns::Choose(absl::Span<const std::shared_ptr<Request>> running) {
  std::vector<Request*> generating, prompts;
  for (const std::shared_ptr<Request>& request : running) {
    (request->prompt_computed() ? generating : prompts).push_back(request.get());
  }
  std::sort(generating.begin(), generating.end(), WaitsLonger);
  std::sort(prompts.begin(), prompts.end(), WaitsLonger);

  std::vector<Turn> turns;
  int64_t budget = max_step_tokens_;
  const auto serve = [&](Request* request) {
    turns.push_back({request, NextTokens(*request)});
    budget -= turns.back().num_tokens;
  };
  const int64_t share = PromptShare(prompts);
  for (Request* request : generating) {
    if (NextTokens(*request) > budget - share) break;
    serve(request);
  }
  prompt_passed_over_ = !prompts.empty() && NextTokens(*prompts.front()) > budget;
  for (Request* request : prompts) {
    if (NextTokens(*request) <= budget) serve(request);
  }
  return turns;
}

int64_t Turns::NextTokens(const Request& request) const {
  const int64_t done = request.num_computed;
  if (request.prompt_computed()) return request.num_known() - done;
  return std::min(request.num_prompt(), (done / prompt_piece_ + 1) * prompt_piece_) - done;
}

int64_t Turns::PromptShare(absl::Span<Request* const> prompts) const {
  if (prompts.empty()) return 0;
  const int64_t piece = NextTokens(*prompts.front());
  return prompt_passed_over_ || 2 * piece <= max_step_tokens_ ? piece : 0;
}

}  // namespace winnow
