#include "client/answer_printer.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/util/json_util.h"

namespace winnow {
namespace {

nlohmann::json ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return nullptr;
  return nlohmann::json::parse(text);
}

// "FINISH_REASON_STOP" -> "stop"
std::string ReasonName(v1::FinishReason reason) {
  constexpr size_t kPrefix = sizeof("FINISH_REASON_") - 1;
  std::string name = v1::FinishReason_Name(reason);
  name = name.size() > kPrefix ? name.substr(kPrefix) : name;
  for (char& c : name) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
  return name;
}

nlohmann::json LogprobToJson(const v1::PositionLogprobs& entry) {
  nlohmann::json json = {
      {"token_id", entry.token_id()}, {"logprob", entry.logprob()}, {"rank", entry.rank()}};
  if (entry.top_size() > 0) json["top"] = nlohmann::json::array();
  for (const auto& top : entry.top()) {
    json["top"].push_back({{"token_id", top.token_id()}, {"logprob", top.logprob()}});
  }
  return json;
}

nlohmann::json LogprobsToJson(const std::vector<v1::PositionLogprobs>& entries) {
  nlohmann::json json = nlohmann::json::array();
  for (const auto& entry : entries) json.push_back(LogprobToJson(entry));
  return json;
}

// One line per token: id, logprob, rank, alternatives.
void PrintLogprobs(const char* title, const std::vector<v1::PositionLogprobs>& entries,
                   std::ostream* out) {
  if (entries.empty()) return;
  *out << title << ": token id, logprob, rank, most likely tokens\n";
  for (const auto& entry : entries) {
    *out << absl::StrFormat("%8d %10.5f %6d ", entry.token_id(), entry.logprob(), entry.rank());
    for (const auto& top : entry.top()) {
      *out << absl::StrFormat(" %d:%.5f", top.token_id(), top.logprob());
    }
    *out << "\n";
  }
}

nlohmann::json FinishToJson(const v1::Finish& finish) {
  nlohmann::json json = {{"reason", ReasonName(finish.reason())},
                         {"num_output_tokens", finish.num_output_tokens()},
                         {"timing",
                          {{"queue_seconds", finish.timing().queue_seconds()},
                           {"prefill_seconds", finish.timing().prefill_seconds()},
                           {"decode_seconds", finish.timing().decode_seconds()}}}};
  if (finish.has_stop_token_id()) json["stop_token_id"] = finish.stop_token_id();
  if (finish.has_stop_text()) json["stop_text"] = finish.stop_text();
  for (const v1::LayerKept& kept : finish.kept()) {
    const std::vector<uint32_t> tokens(kept.kept_tokens().begin(), kept.kept_tokens().end());
    json["kept"].push_back({{"layer", kept.layer()}, {"kept_tokens", tokens}});
  }
  return json;
}

}  // namespace

AnswerPrinter::AnswerPrinter(const ClientOptions& options, absl::Time start, std::ostream* out,
                             std::ostream* diagnostics)
    : form_(options.form),
      quiet_(options.quiet),
      several_(options.request.sampling().n() > 1),
      start_(start),
      out_(out),
      diagnostics_(diagnostics) {}

void AnswerPrinter::Add(const v1::GenerateResponse& message, absl::Time now) {
  if (message.delta().num_tokens() > 0) {
    if (num_tokens_ == 0) first_token_ = now;
    last_token_ = now;
    num_tokens_ += message.delta().num_tokens();
  }
  if (form_ == OutputForm::kJsonStream) return PrintLine(message);
  Collect(message);
  if (form_ != OutputForm::kText) return;
  if (several_) {
    PrintFinishedChoices();
  } else {
    AddText(message.delta());
  }
}

void AnswerPrinter::PrintLine(const v1::GenerateResponse& message) {
  nlohmann::json json = ToJson(message);
  // Which proto3's JSON leaves out when it is 0.
  if (message.has_delta() || message.has_finish()) json["choice"] = message.choice();
  *out_ << json.dump() << std::endl;
}

void AnswerPrinter::Collect(const v1::GenerateResponse& message) {
  const auto append = [](const auto& from, auto* to) {
    to->insert(to->end(), from.begin(), from.end());
  };
  if (message.has_prompt()) prompt_ = message.prompt();
  append(message.prompt_logprobs().logprobs(), &prompt_logprobs_);
  if (!message.has_delta() && !message.has_finish()) return;
  Choice& choice = choices_[message.choice()];
  if (message.has_finish()) choice.finish = message.finish();
  append(message.delta().token_ids(), &choice.token_ids);
  append(message.delta().logprobs(), &choice.logprobs);
  if (several_ || form_ == OutputForm::kJson) choice.text += message.delta().text();
}

void AnswerPrinter::AddText(const v1::Delta& delta) {
  if (delta.text().empty()) return;
  PrintText(delta.text());
  out_->flush();
}

void AnswerPrinter::PrintText(const std::string& text) {
  *out_ << text;
  if (!text.empty()) line_open_ = text.back() != '\n';
}

void AnswerPrinter::PrintFinishedChoices() {
  auto choice = choices_.find(next_choice_);
  while (choice != choices_.end() && choice->second.finished()) {
    PrintChoice(choice->first, choice->second);
    choices_.erase(choice);
    choice = choices_.find(++next_choice_);
  }
}

void AnswerPrinter::PrintChoice(uint32_t index, const Choice& choice) {
  PrintPromptLogprobs();
  *out_ << "--- choice " << index;
  if (choice.finished()) {
    *out_ << " (seed " << choice.finish.seed() << ", " << ReasonName(choice.finish.reason())
          << ") ---\n";
  } else {
    *out_ << " (unfinished) ---\n";
  }
  PrintText(choice.text);
  PrintReport(choice);
  out_->flush();
}

void AnswerPrinter::PrintReport(const Choice& choice) {
  if (line_open_) *out_ << "\n";
  line_open_ = false;
  if (!choice.token_ids.empty()) {
    *out_ << "token ids: " << absl::StrJoin(choice.token_ids, " ") << "\n";
  }
  PrintPromptLogprobs();
  PrintLogprobs("logprobs", choice.logprobs, out_);
  for (const v1::LayerKept& kept : choice.finish.kept()) {
    *out_ << "layer " << kept.layer()
          << " kept per head: " << absl::StrJoin(kept.kept_tokens(), " ") << "\n";
  }
}

void AnswerPrinter::PrintPromptLogprobs() {
  PrintLogprobs("prompt logprobs", prompt_logprobs_, out_);
  prompt_logprobs_.clear();
}

void AnswerPrinter::End(const RpcError& status, absl::Time now) {
  if (form_ == OutputForm::kText) EndText(status);
  if (form_ == OutputForm::kJson) EndJson(status, now);
  if (form_ == OutputForm::kJsonStream && status.code != absl::StatusCode::kOk) {
    *out_ << nlohmann::json{{"error", ErrorToJson(status)}}.dump() << std::endl;
  }
  if (!quiet_) PrintTimes(now);
}

void AnswerPrinter::EndText(const RpcError& status) {
  if (several_) {
    // What a call that failed has left.
    for (const auto& [index, choice] : choices_) PrintChoice(index, choice);
    PrintPromptLogprobs();
  } else {
    PrintReport(choices_[0]);
  }
  out_->flush();
  if (status.code != absl::StatusCode::kOk) {
    *diagnostics_ << "winnow-client: " << DescribeError(status) << std::endl;
  }
}

void AnswerPrinter::EndJson(const RpcError& status, absl::Time now) {
  nlohmann::json json = {{"total_seconds", absl::ToDoubleSeconds(now - start_)}};
  if (several_) {
    json["choices"] = nlohmann::json::array();
    for (const auto& [index, choice] : choices_) {
      nlohmann::json entry = {{"choice", index}};
      if (choice.finished()) entry["seed"] = choice.finish.seed();
      AddToJson(choice, &entry);
      json["choices"].push_back(std::move(entry));
    }
  } else {
    AddToJson(choices_[0], &json);
  }
  if (!prompt_.request_id().empty()) {
    json["request_id"] = prompt_.request_id();
    json["model"] = prompt_.model();
    json["num_prompt_tokens"] = prompt_.num_prompt_tokens();
    json["seed"] = prompt_.seed();
  }
  if (!prompt_logprobs_.empty()) json["prompt_logprobs"] = LogprobsToJson(prompt_logprobs_);
  if (num_tokens_ > 0) {
    json["time_to_first_token_seconds"] = absl::ToDoubleSeconds(first_token_ - start_);
    json["tokens_per_second"] = TokensPerSecond();
  }
  if (status.code != absl::StatusCode::kOk) json["error"] = ErrorToJson(status);
  *out_ << json.dump(1) << std::endl;
}

void AnswerPrinter::AddToJson(const Choice& choice, nlohmann::json* json) {
  (*json)["text"] = choice.text;
  if (!choice.token_ids.empty()) (*json)["token_ids"] = choice.token_ids;
  if (!choice.logprobs.empty()) (*json)["logprobs"] = LogprobsToJson(choice.logprobs);
  if (choice.finished()) (*json)["finish"] = FinishToJson(choice.finish);
}

double AnswerPrinter::TokensPerSecond() const {
  const double seconds = absl::ToDoubleSeconds(last_token_ - first_token_);
  return num_tokens_ > 1 && seconds > 0 ? static_cast<double>(num_tokens_ - 1) / seconds : 0;
}

void AnswerPrinter::PrintTimes(absl::Time now) {
  if (num_tokens_ == 0) return;
  *diagnostics_ << absl::StrFormat("%d tokens in %.2f s: first after %.3f s, then %.1f tokens/s",
                                   num_tokens_, absl::ToDoubleSeconds(now - start_),
                                   absl::ToDoubleSeconds(first_token_ - start_), TokensPerSecond())
                << std::endl;
}

}  // namespace winnow
