#include "client/eval/questions.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace winnow::eval {
namespace {

// A space, the digits, and one more to see whether the code ends there; more where tokens are
// smaller than characters.
constexpr uint32_t kMaxTokens = 12;

}  // namespace

absl::StatusOr<Questions> Questions::Make(const std::vector<PlannedCell>& plan, uint64_t seed,
                                          const TokenCounter& count) {
  Questions questions;
  for (const PlannedCell& planned : plan) {
    std::vector<EvalText> texts;
    for (int64_t text = 0; text < planned.texts; ++text) {
      auto made = MakeEvalText(seed, planned.cell, text, count);
      if (!made.ok()) return made.status();
      for (size_t i = 0; i < made->questions.size(); ++i) {
        questions.asked_.push_back({questions.cells_.size(), text, i});
      }
      texts.push_back(*std::move(made));
    }
    questions.cells_.push_back(planned.cell);
    questions.texts_.push_back(std::move(texts));
  }
  return questions;
}

const Question& Questions::question(int64_t number) const {
  const Asked& which = asked(number);
  return texts_[which.cell][static_cast<size_t>(which.text)].questions[which.question];
}

v1::GenerateRequest Questions::Request(int64_t number) const {
  const Asked& which = asked(number);
  v1::GenerateRequest request;
  request.set_text(absl::StrCat(texts_[which.cell][static_cast<size_t>(which.text)].text,
                                question(number).ending));
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(kMaxTokens);
  request.mutable_stop()->add_stop(std::string(1, '.'));
  return request;
}

int64_t Questions::Longest() const {
  const auto tokens = [this](const Asked& which) { return cells_[which.cell].tokens; };
  const auto longest =
      std::max_element(asked_.begin(), asked_.end(),
                       [&](const Asked& a, const Asked& b) { return tokens(a) < tokens(b); });
  return longest - asked_.begin();
}

load::PlannedRequest QuestionSource::Next() {
  load::PlannedRequest planned;
  planned.number = next_++;
  planned.request = questions_->Request(planned.number);
  return planned;
}

}  // namespace winnow::eval
