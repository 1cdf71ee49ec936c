#include "server/response_builder.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"
#include "server/errors.h"

namespace winnow {
namespace {

constexpr size_t kMaxMessageBytes = 1 << 20;
// Tag and length of a PositionLogprobs inside of PromptLogprobs, at most; also covers the message
// around it.
constexpr size_t kEntryOverhead = 8;
// With 20 alternatives each, these stay below kMaxMessageBytes.
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

}  // namespace

ResponseBuilder::ResponseBuilder(StreamFacts facts, const Tokenizer* tokenizer)
    : facts_(std::move(facts)) {
  if (tokenizer != nullptr) {
    detokenizer_.emplace(tokenizer, IncrementalDetokenizer::Start::kMidText,
                         facts_.output.include_special_tokens);
  }
}

void ResponseBuilder::Add(PendingOutput output) {
  WINNOW_CHECK(empty() && !ended());
  prompt_info_due_ = output.prompt_computed && !prompt_computed_;
  prompt_computed_ = output.prompt_computed;
  prompt_logprobs_ = std::move(output.prompt_logprobs);
  next_logprob_ = 0;
  tokens_ = std::move(output.tokens);
  next_token_ = 0;
  finish_ = std::move(output.finish);
  if (ended() && prompt_computed_ && tokens_.empty() && detokenizer_.has_value())
    tail_ = detokenizer_->Flush();
  finish_due_ = ended() && prompt_computed_;
}

bool ResponseBuilder::empty() const {
  return !prompt_info_due_ && !HasPromptLogprobs() && !HasDelta() && !finish_due_;
}

void ResponseBuilder::Next(v1::GenerateResponse* message) {
  WINNOW_CHECK(!empty());
  message->Clear();
  if (prompt_info_due_) {
    FillPromptInfo(message->mutable_prompt());
  } else if (HasPromptLogprobs()) {
    FillPromptLogprobs(message->mutable_prompt_logprobs());
  } else if (HasDelta()) {
    FillDelta(message->mutable_delta());
  } else {
    FillFinish(message->mutable_finish());
    finish_due_ = false;
  }
}

void ResponseBuilder::FillPromptInfo(v1::PromptInfo* info) {
  info->set_request_id(facts_.request_id);
  info->set_model(facts_.model);
  info->set_num_prompt_tokens(facts_.num_prompt_tokens);
  info->set_seed(facts_.seed);
  prompt_info_due_ = false;
}

void ResponseBuilder::FillPromptLogprobs(v1::PromptLogprobs* message) {
  message->set_first_position(next_prompt_position_);
  size_t bytes = kEntryOverhead;
  while (HasPromptLogprobs()) {
    v1::PositionLogprobs* entry = message->add_logprobs();
    FillLogprobs(prompt_logprobs_[next_logprob_], entry);
    bytes += entry->ByteSizeLong() + kEntryOverhead;
    if (bytes > kMaxMessageBytes && message->logprobs_size() > 1) {
      message->mutable_logprobs()->RemoveLast();
      return;
    }
    ++next_logprob_;
    ++next_prompt_position_;
  }
  prompt_logprobs_ = {};
  next_logprob_ = 0;
}

void ResponseBuilder::FillDelta(v1::Delta* delta) {
  const size_t end = std::min(tokens_.size(), next_token_ + kMaxDeltaTokens);
  delta->set_num_tokens(static_cast<uint32_t>(end - next_token_));
  for (; next_token_ < end; ++next_token_) AddToken(tokens_[next_token_], delta);
  if (next_token_ < tokens_.size()) return;
  if (ended() && !tokens_.empty() && detokenizer_.has_value()) tail_ = detokenizer_->Flush();
  delta->mutable_text()->append(tail_);
  tail_.clear();
  tokens_ = {};
  next_token_ = 0;
}

void ResponseBuilder::AddToken(const OutputToken& token, v1::Delta* delta) {
  // A vocabulary may be larger than its tokenizer's: an id without a token has no text.
  if (detokenizer_.has_value()) {
    delta->mutable_text()->append(detokenizer_->Append(token.token).value_or(""));
  }
  if (facts_.output.token_ids) delta->add_token_ids(token.token);
  if (facts_.output.logprobs.has_value()) FillLogprobs(token, delta->add_logprobs());
}

void ResponseBuilder::FillFinish(v1::Finish* message) const {
  message->set_reason(ToProto(finish_->reason));
  message->set_num_output_tokens(finish_->num_output_tokens);
  if (finish_->stop_token_id.has_value()) message->set_stop_token_id(*finish_->stop_token_id);
  message->set_seed(facts_.seed);
  v1::Timing* timing = message->mutable_timing();
  timing->set_queue_seconds(absl::ToDoubleSeconds(finish_->queue_time));
  timing->set_prefill_seconds(absl::ToDoubleSeconds(finish_->prefill_time));
  timing->set_decode_seconds(absl::ToDoubleSeconds(finish_->decode_time));
  if (facts_.output.state_usage) FillKept(message);
}

void ResponseBuilder::FillKept(v1::Finish* message) const {
  const std::vector<int32_t>& counts = finish_->kept_counts;
  for (size_t i = 0; i < counts.size() && i < facts_.kept_heads->size(); ++i) {
    const KeptHead& head = (*facts_.kept_heads)[i];
    if (message->kept().empty() || message->kept().rbegin()->layer() != head.layer) {
      message->add_kept()->set_layer(head.layer);
    }
    message->mutable_kept()->rbegin()->add_kept_tokens(static_cast<uint32_t>(counts[i]));
  }
}

absl::Status ResponseBuilder::status() const {
  WINNOW_CHECK(ended());
  switch (finish_->reason) {
    case FinishReason::kStop:
    case FinishReason::kLength:
      return absl::OkStatus();
    case FinishReason::kCancelled:  // by the server: a cancelled call is not asked for its status
      return Draining();
    case FinishReason::kDeadline:
      return absl::DeadlineExceededError("the deadline has passed");
    case FinishReason::kError:
      if (finish_->error.code() == absl::StatusCode::kUnavailable) return Draining();
      return InternalFault(facts_.request_id, finish_->error.message());
  }
  WINNOW_CHECK(false) << static_cast<int>(finish_->reason);
  return absl::OkStatus();
}

}  // namespace winnow
