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

}  // namespace

ResponseBuilder::ResponseBuilder(StreamFacts facts, const Tokenizer* tokenizer)
    : facts_(std::move(facts)) {
  choices_.reserve(facts_.num_choices);
  for (uint32_t choice = 0; choice < facts_.num_choices; ++choice) {
    choices_.emplace_back(choice, &facts_, tokenizer);
  }
}

void ResponseBuilder::Add(PendingOutput output) {
  WINNOW_CHECK(empty() && !ended());
  prompt_info_due_ = output.prompt_computed && !prompt_computed_;
  prompt_computed_ = output.prompt_computed;
  prompt_logprobs_ = std::move(output.prompt_logprobs);
  next_logprob_ = 0;
  WINNOW_CHECK(output.choices.size() <= choices_.size()) << output.choices.size();
  for (size_t choice = 0; choice < output.choices.size(); ++choice) {
    choices_[choice].Add(std::move(output.choices[choice]), prompt_computed_);
  }
}

bool ResponseBuilder::empty() const {
  return !prompt_info_due_ && !HasPromptLogprobs() &&
         std::all_of(choices_.begin(), choices_.end(),
                     [](const ChoiceStream& choice) { return choice.empty(); });
}

void ResponseBuilder::Next(v1::GenerateResponse* message) {
  WINNOW_CHECK(!empty());
  message->Clear();
  if (prompt_info_due_) return FillPromptInfo(message->mutable_prompt());
  if (HasPromptLogprobs()) return FillPromptLogprobs(message->mutable_prompt_logprobs());
  const auto choice = std::find_if(choices_.begin(), choices_.end(),
                                   [](const ChoiceStream& c) { return !c.empty(); });
  choice->Next(message);
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

bool ResponseBuilder::ended() const {
  return std::all_of(choices_.begin(), choices_.end(),
                     [](const ChoiceStream& choice) { return choice.ended(); });
}

uint64_t ResponseBuilder::num_output_tokens() const {
  uint64_t num_tokens = 0;
  for (const ChoiceStream& choice : choices_) num_tokens += choice.finish()->num_output_tokens;
  return num_tokens;
}

absl::Status ResponseBuilder::status() const {
  WINNOW_CHECK(ended());
  absl::Status status;
  for (const ChoiceStream& choice : choices_) status.Update(StatusOf(*choice.finish()));
  return status;
}

absl::Status ResponseBuilder::StatusOf(const FinishInfo& finish) const {
  switch (finish.reason) {
    case FinishReason::kStop:
    case FinishReason::kLength:
      return absl::OkStatus();
    case FinishReason::kCancelled:  // by the server: a cancelled call is not asked for its status
      return Draining();
    case FinishReason::kDeadline:
      return absl::DeadlineExceededError("the deadline has passed");
    case FinishReason::kError:
      if (finish.error.code() == absl::StatusCode::kUnavailable) return Draining();
      return InternalFault(facts_.request_id, finish.error.message());
  }
  WINNOW_CHECK(false) << static_cast<int>(finish.reason);
  return absl::OkStatus();
}

}  // namespace winnow
