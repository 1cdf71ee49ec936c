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

ChoiceOutput& OutputBuffer::Choice(uint32_t choice) {
  if (pending_.choices.size() <= choice) pending_.choices.resize(choice + 1);
  return pending_.choices[choice];
}

bool OutputBuffer::AddToken(uint32_t choice, OutputToken token) {
  if (overflowed_) return false;
  if (num_tokens_ == max_tokens_) {
    overflowed_ = true;
    pending_ = PendingOutput();
    return false;
  }
  ++num_tokens_;
  Choice(choice).tokens.push_back(std::move(token));
  return true;
}

void OutputBuffer::AddFinish(uint32_t choice, FinishInfo info) {
  if (!overflowed_) Choice(choice).finish = std::move(info);
}

bool OutputBuffer::ready() const {
  if (overflowed_) return false;
  // Tokens come after the prompt, so a choice that has anything may be sent.
  if (!pending_.choices.empty()) return true;
  return prompt_computed_ && (!prompt_announced_ || !pending_.prompt_logprobs.empty());
}

PendingOutput OutputBuffer::Take() {
  pending_.prompt_computed = prompt_computed_;
  prompt_announced_ = prompt_computed_;
  num_tokens_ = 0;
  return std::exchange(pending_, PendingOutput());
}

}  // namespace winnow
