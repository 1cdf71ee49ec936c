#include "tests/soak/answer_check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace winnow::soak {

AnswerCheck::AnswerCheck(const v1::GenerateRequest& request)
    : request_(request),
      choices_(request.sampling().has_n() ? std::min(request.sampling().n(), 16u) : 1) {}

void AnswerCheck::Expect(bool condition, const char* what) {
  if (!condition && wrong_.empty()) wrong_ = absl::StrCat("message ", num_messages_, ": ", what);
}

void AnswerCheck::Add(const v1::GenerateResponse& message) {
  Expect(message.has_prompt() == (num_messages_ == 0), "one PromptInfo, first of all");
  Expect(message.choice() < choices_.size(), "a choice that was not asked for");
  ++num_messages_;
  if (message.choice() >= choices_.size()) return;
  Choice& choice = choices_[message.choice()];
  if (message.has_prompt()) {
    num_prompt_tokens_ = message.prompt().num_prompt_tokens();
  } else if (message.has_prompt_logprobs()) {
    Expect(message.prompt_logprobs().first_position() == num_prompt_logprobs_ + 1,
           "prompt logprobs that do not continue the last ones");
    Expect(num_output_tokens() == 0, "prompt logprobs after a delta");
    num_prompt_logprobs_ += message.prompt_logprobs().logprobs_size();
  } else if (message.has_delta()) {
    AddDelta(message.choice(), message.delta());
  } else {
    Expect(message.has_finish(), "no event");
    ++choice.num_finishes;
    choice.finish = message.finish();
  }
}

void AnswerCheck::AddDelta(uint32_t index, const v1::Delta& delta) {
  Choice& choice = choices_[index];
  Expect(choice.num_finishes == 0, "a delta after the finish");
  Expect(delta.num_tokens() > 0 || !delta.text().empty(), "an empty delta");
  Expect(delta.text().empty() || !request_.output().skip_text(), "text although it was declined");
  choice.num_tokens += delta.num_tokens();
  choice.num_ids += delta.token_ids_size();
  choice.num_logprobs += delta.logprobs_size();
}

uint64_t AnswerCheck::num_output_tokens() const {
  uint64_t num = 0;
  for (const Choice& choice : choices_) num += choice.num_tokens;
  return num;
}

std::string AnswerCheck::WrongIn(const Choice& choice, const v1::GenerateRequest& request) {
  const v1::Finish& finish = choice.finish;
  const v1::OutputOptions& output = request.output();
  if (choice.num_finishes != 1) return absl::StrCat(choice.num_finishes, " finishes");
  if (finish.num_output_tokens() != choice.num_tokens) return "deltas and finish differ in tokens";
  if (choice.num_tokens > request.stop().max_tokens()) return "more tokens than max_tokens";
  if (choice.num_tokens < request.stop().min_tokens()) return "fewer tokens than min_tokens";
  if (choice.num_ids != (output.token_ids() ? choice.num_tokens : 0)) return "wrong token ids";
  if (choice.num_logprobs != (output.has_logprobs() ? choice.num_tokens : 0)) {
    return "wrong logprobs";
  }
  const bool to_the_end = choice.num_tokens == request.stop().max_tokens();
  if (finish.reason() == v1::FINISH_REASON_LENGTH) return to_the_end ? "" : "ended too early";
  return finish.reason() == v1::FINISH_REASON_STOP ? "" : "ended for a reason that is none";
}

std::string AnswerCheck::WhatIsWrong() const {
  if (!wrong_.empty()) return wrong_;
  if (num_messages_ == 0) return "no message";
  const uint64_t asked =
      request_.output().has_prompt_logprobs() ? num_prompt_tokens_ - 1 : uint64_t{0};
  if (num_prompt_logprobs_ != asked) return "wrong number of prompt logprobs";
  for (size_t i = 0; i < choices_.size(); ++i) {
    const std::string wrong = WrongIn(choices_[i], request_);
    if (!wrong.empty()) return absl::StrCat("choice ", i, ": ", wrong);
  }
  return "";
}

}  // namespace winnow::soak
