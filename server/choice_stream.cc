#include "server/choice_stream.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "kernels/check.h"
#include "kernels/philox.h"

namespace winnow {
namespace {

// With 20 alternatives each, these stay below 1 MiB.
constexpr size_t kMaxDeltaTokens = 2048;

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return v1::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
    case FinishReason::kDeadline:
      return v1::FINISH_REASON_DEADLINE;
    case FinishReason::kError:
      return v1::FINISH_REASON_ERROR;
  }
  WINNOW_CHECK(false) << static_cast<int>(reason);
  return v1::FINISH_REASON_UNSPECIFIED;
}

}  // namespace

void FillLogprobs(const OutputToken& token, v1::PositionLogprobs* message) {
  message->set_token_id(token.token);
  message->set_logprob(token.logprob);
  message->set_rank(token.rank);
  for (const TokenLogprob& alternative : token.top) {
    v1::TokenLogprob* top = message->add_top();
    top->set_token_id(alternative.token);
    top->set_logprob(alternative.logprob);
  }
}

ChoiceStream::ChoiceStream(uint32_t choice, const StreamFacts* facts, const Tokenizer* tokenizer)
    : choice_(choice), facts_(facts) {
  if (tokenizer != nullptr) {
    text_.emplace(tokenizer, facts->stops.get(), &facts->text_rules);
  }
}

void ChoiceStream::Add(ChoiceOutput output, bool shown) {
  if (output.tokens.empty() && !output.finish.has_value()) return;
  WINNOW_CHECK(empty() && !ended()) << choice_;
  tokens_ = std::move(output.tokens);
  next_token_ = 0;
  finish_ = std::move(output.finish);
  finish_due_ = ended() && shown;
  if (finish_due_ && tokens_.empty()) FlushText();
}

void ChoiceStream::FlushText() {
  if (text_.has_value()) tail_ = text_->Flush();
}

void ChoiceStream::Next(v1::GenerateResponse* message) {
  WINNOW_CHECK(!empty());
  message->set_choice(choice_);
  if (HasDelta()) return FillDelta(message->mutable_delta());
  FillFinish(message->mutable_finish());
  finish_due_ = false;
}

void ChoiceStream::FillDelta(v1::Delta* delta) {
  const size_t end = std::min(tokens_.size(), next_token_ + kMaxDeltaTokens);
  delta->set_num_tokens(static_cast<uint32_t>(end - next_token_));
  for (; next_token_ < end; ++next_token_) AddToken(tokens_[next_token_], delta);
  if (next_token_ < tokens_.size()) return;
  if (ended() && !tokens_.empty()) FlushText();
  delta->mutable_text()->append(std::exchange(tail_, ""));
  tokens_ = {};
  next_token_ = 0;
}

void ChoiceStream::AddToken(const OutputToken& token, v1::Delta* delta) {
  if (text_.has_value()) delta->mutable_text()->append(text_->Append(token.token));
  if (facts_->output.token_ids) delta->add_token_ids(token.token);
  if (facts_->output.logprobs.has_value()) FillLogprobs(token, delta->add_logprobs());
}

void ChoiceStream::FillFinish(v1::Finish* message) const {
  message->set_reason(ToProto(finish_->reason));
  message->set_num_output_tokens(finish_->num_output_tokens);
  if (finish_->stop_token_id.has_value()) message->set_stop_token_id(*finish_->stop_token_id);
  if (finish_->stop_text.has_value()) message->set_stop_text(*finish_->stop_text);
  message->set_seed(DeriveSeed(facts_->seed, choice_));
  v1::Timing* timing = message->mutable_timing();
  timing->set_queue_seconds(absl::ToDoubleSeconds(finish_->queue_time));
  timing->set_prefill_seconds(absl::ToDoubleSeconds(finish_->prefill_time));
  timing->set_decode_seconds(absl::ToDoubleSeconds(finish_->decode_time));
  if (facts_->output.state_usage) FillKept(message);
}

void ChoiceStream::FillKept(v1::Finish* message) const {
  const std::vector<int32_t>& counts = finish_->kept_counts;
  for (size_t i = 0; i < counts.size() && i < facts_->kept_heads->size(); ++i) {
    const KeptHead& head = (*facts_->kept_heads)[i];
    if (message->kept().empty() || message->kept().rbegin()->layer() != head.layer) {
      message->add_kept()->set_layer(head.layer);
    }
    message->mutable_kept()->rbegin()->add_kept_tokens(static_cast<uint32_t>(counts[i]));
  }
}

}  // namespace winnow
