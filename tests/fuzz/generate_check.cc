#include "tests/fuzz/generate_check.h"

#include <algorithm>
#include <optional>

#include "kernels/check.h"
#include "tests/e2e/fake_model.h"

namespace winnow {
namespace {

struct Choice {
  std::string text;
  std::vector<uint32_t> ids;
  uint32_t num_tokens = 0;
  int num_logprobs = 0;
  std::optional<v1::Finish> finish;
};

void AddDelta(const v1::Delta& delta, Choice* choice) {
  WINNOW_CHECK(!choice->finish.has_value()) << "a delta after the end";
  choice->text += delta.text();
  choice->ids.insert(choice->ids.end(), delta.token_ids().begin(), delta.token_ids().end());
  choice->num_tokens += delta.num_tokens();
  choice->num_logprobs += delta.logprobs_size();
}

std::vector<Choice> Collect(const std::vector<std::string>& messages, size_t num_choices) {
  std::vector<Choice> choices(num_choices);
  for (size_t i = 0; i < messages.size(); ++i) {
    v1::GenerateResponse response;
    WINNOW_CHECK(response.ParseFromString(messages[i])) << "text that is no UTF-8?";
    WINNOW_CHECK(response.has_prompt() == (i == 0)) << i;
    WINNOW_CHECK(response.choice() < num_choices) << response.choice();
    Choice& choice = choices[response.choice()];
    if (response.has_delta()) AddDelta(response.delta(), &choice);
    if (!response.has_finish()) continue;
    WINNOW_CHECK(!choice.finish.has_value()) << response.choice();
    choice.finish = response.finish();
  }
  return choices;
}

void CheckText(const v1::GenerateRequest& request, const Choice& choice) {
  const v1::StopOptions& stop = request.stop();
  const std::string& stop_text = choice.finish->stop_text();
  if (choice.finish->stopped_by_case() != v1::Finish::kStopText) {
    if (request.output().skip_text()) WINNOW_CHECK(choice.text.empty());
    return;
  }
  WINNOW_CHECK(std::count(stop.stop().begin(), stop.stop().end(), stop_text) > 0) << stop_text;
  if (request.output().skip_text()) return;
  if (stop.include_stop_text()) WINNOW_CHECK(choice.text.ends_with(stop_text)) << choice.text;
  if (stop.include_stop_text() || stop.min_tokens() > 0) return;
  for (const std::string& text : stop.stop()) {
    WINNOW_CHECK(choice.text.find(text) == std::string::npos) << choice.text;
  }
}

void CheckChoice(const v1::GenerateRequest& request, const Choice& choice) {
  WINNOW_CHECK(choice.finish.has_value());
  const v1::Finish& finish = *choice.finish;
  WINNOW_CHECK(finish.reason() == v1::FINISH_REASON_STOP ||
               finish.reason() == v1::FINISH_REASON_LENGTH)
      << finish.reason();
  WINNOW_CHECK(finish.num_output_tokens() == choice.num_tokens) << choice.num_tokens;
  if (request.stop().has_max_tokens()) {
    WINNOW_CHECK(choice.num_tokens <= request.stop().max_tokens()) << choice.num_tokens;
  }
  if (finish.reason() == v1::FINISH_REASON_STOP) {
    WINNOW_CHECK(choice.num_tokens >= request.stop().min_tokens()) << choice.num_tokens;
  }
  const v1::OutputOptions& output = request.output();
  WINNOW_CHECK(choice.ids.size() == (output.token_ids() ? choice.num_tokens : 0));
  WINNOW_CHECK(static_cast<uint32_t>(choice.num_logprobs) ==
               (output.has_logprobs() ? choice.num_tokens : 0));
  CheckText(request, choice);
}

bool IsPlainGreedy(const v1::GenerateRequest& request) {
  const v1::SamplingOptions& sampling = request.sampling();
  return request.has_token_ids() && request.output().token_ids() && sampling.has_temperature() &&
         sampling.temperature() == 0 && request.stop().min_tokens() == 0;
}

}  // namespace

void CheckAnswer(const v1::GenerateRequest& request, const std::vector<std::string>& messages) {
  const uint32_t n = request.sampling().has_n() ? request.sampling().n() : 1;
  for (const Choice& choice : Collect(messages, n)) {
    CheckChoice(request, choice);
    if (!IsPlainGreedy(request)) continue;
    const auto& prompt = request.token_ids().ids();
    WINNOW_CHECK(choice.ids == FakeModel::GreedyAnswer({prompt.data(), size_t(prompt.size())},
                                                       static_cast<int>(choice.ids.size())));
  }
}

}  // namespace winnow
