#include "server/output_buffer.h"

#include <iterator>
#include <utility>

#include "kernels/check.h"

namespace winnow {

void OutputBuffer::AddPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) {
  if (overflowed_) return;
  WINNOW_CHECK(first_position == next_prompt_position_)
      << first_position << " vs " << next_prompt_position_;
  next_prompt_position_ += static_cast<int64_t>(logprobs.size());
  std::vector<OutputToken>& all = pending_.prompt_logprobs;
  all.insert(all.end(), std::make_move_iterator(logprobs.begin()),
             std::make_move_iterator(logprobs.end()));
}

bool OutputBuffer::AddToken(OutputToken token) {
  if (overflowed_) return false;
  if (static_cast<int64_t>(pending_.tokens.size()) == max_tokens_) {
    overflowed_ = true;
    pending_ = PendingOutput();
    return false;
  }
  pending_.tokens.push_back(std::move(token));
  return true;
}

void OutputBuffer::AddFinish(FinishInfo info) {
  if (!overflowed_) pending_.finish = std::move(info);
}

bool OutputBuffer::ready() const {
  if (pending_.finish.has_value()) return true;
  if (overflowed_ || !prompt_computed_) return false;
  return !prompt_announced_ || !pending_.tokens.empty() || !pending_.prompt_logprobs.empty();
}

PendingOutput OutputBuffer::Take() {
  pending_.prompt_computed = prompt_computed_;
  prompt_announced_ = prompt_computed_;
  return std::exchange(pending_, PendingOutput());
}

}  // namespace winnow
