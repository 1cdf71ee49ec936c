#include "client/answer_printer.h"

#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace winnow {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kStart = absl::FromUnixSeconds(1000);

RpcError Ok() { return {absl::StatusCode::kOk, "", ""}; }

RpcError Invalid() {
  google::rpc::BadRequest detail;
  detail.add_field_violations()->set_field("sampling.top_p");
  google::rpc::Status status;
  status.add_details()->PackFrom(detail);
  return {absl::StatusCode::kInvalidArgument, "sampling.top_p is 2", status.SerializeAsString()};
}

ClientOptions Options(OutputForm form, bool quiet = true, uint32_t n = 1) {
  ClientOptions options;
  options.form = form;
  options.quiet = quiet;
  options.request.mutable_sampling()->set_n(n);
  return options;
}

v1::GenerateResponse Prompt() {
  v1::GenerateResponse message;
  message.mutable_prompt()->set_request_id("r1");
  message.mutable_prompt()->set_num_prompt_tokens(7);
  message.mutable_prompt()->set_seed(UINT64_MAX);
  return message;
}

v1::GenerateResponse Delta(const std::string& text, uint32_t num_tokens) {
  v1::GenerateResponse message;
  message.mutable_delta()->set_text(text);
  message.mutable_delta()->set_num_tokens(num_tokens);
  return message;
}

v1::GenerateResponse Finish() {
  v1::GenerateResponse message;
  message.mutable_finish()->set_reason(v1::FINISH_REASON_STOP);
  message.mutable_finish()->set_num_output_tokens(3);
  message.mutable_finish()->set_stop_token_id(2);
  v1::LayerKept* kept = message.mutable_finish()->add_kept();
  kept->set_layer(1);
  kept->add_kept_tokens(5);
  return message;
}

// The whole answer "Hello world": its first token after 0.5 s, its last after 1.5 s.
void PrintAnswer(AnswerPrinter& printer, const RpcError& status) {
  printer.Add(Prompt(), kStart + absl::Milliseconds(400));
  printer.Add(Delta("Hello", 1), kStart + absl::Milliseconds(500));
  printer.Add(Delta(" world", 2), kStart + absl::Milliseconds(1500));
  printer.Add(Finish(), kStart + absl::Milliseconds(1500));
  printer.End(status, kStart + absl::Seconds(2));
}

TEST(AnswerPrinterTest, TextAndTimes) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kText, /*quiet=*/false), kStart, &out, &diagnostics);
  PrintAnswer(printer, Ok());
  EXPECT_EQ(out.str(), "Hello world\nlayer 1 kept per head: 5\n");
  EXPECT_EQ(diagnostics.str(), "3 tokens in 2.00 s: first after 0.500 s, then 2.0 tokens/s\n");
}

TEST(AnswerPrinterTest, QuietSaysNothingElse) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kText), kStart, &out, &diagnostics);
  PrintAnswer(printer, Ok());
  EXPECT_THAT(diagnostics.str(), IsEmpty());
}

TEST(AnswerPrinterTest, ErrorsGoToDiagnosticsWithTheirDetails) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kText), kStart, &out, &diagnostics);
  printer.End(Invalid(), kStart);
  EXPECT_THAT(out.str(), IsEmpty());
  EXPECT_EQ(diagnostics.str(), "winnow-client: INVALID_ARGUMENT: sampling.top_p is 2\n");
}

TEST(AnswerPrinterTest, JsonIsOneObject) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kJson), kStart, &out, &diagnostics);
  PrintAnswer(printer, Ok());
  const nlohmann::json json = nlohmann::json::parse(out.str());
  EXPECT_EQ(json["text"], "Hello world");
  EXPECT_EQ(json["num_prompt_tokens"], 7);
  EXPECT_EQ(json["seed"], UINT64_MAX);
  EXPECT_EQ(json["finish"]["reason"], "stop");
  EXPECT_EQ(json["finish"]["stop_token_id"], 2);
  EXPECT_EQ(json["finish"]["kept"][0]["kept_tokens"][0], 5);
  EXPECT_EQ(json["time_to_first_token_seconds"], 0.5);
  EXPECT_EQ(json["tokens_per_second"], 2.0);
  EXPECT_FALSE(json.contains("error"));
}

TEST(AnswerPrinterTest, JsonHoldsTheError) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kJson), kStart, &out, &diagnostics);
  printer.End(Invalid(), kStart);
  const nlohmann::json error = nlohmann::json::parse(out.str())["error"];
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(error["message"], "sampling.top_p is 2");
  EXPECT_EQ(error["details"][0]["field_violations"][0]["field"], "sampling.top_p");
}

TEST(AnswerPrinterTest, JsonStreamIsALineForEachMessage) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kJsonStream), kStart, &out, &diagnostics);
  PrintAnswer(printer, Invalid());
  std::istringstream lines(out.str());
  std::string line, text;
  nlohmann::json last;
  int num_lines = 0;
  for (; std::getline(lines, line); ++num_lines) {
    last = nlohmann::json::parse(line);
    if (last.contains("delta")) text += last["delta"]["text"];
  }
  EXPECT_EQ(num_lines, 5);
  EXPECT_EQ(text, "Hello world");
  EXPECT_EQ(last["error"]["code"], "INVALID_ARGUMENT");
}

// ---- Several choices ----

v1::GenerateResponse ChoiceDelta(uint32_t choice, const std::string& text, uint32_t token_id) {
  v1::GenerateResponse message = Delta(text, 1);
  message.set_choice(choice);
  message.mutable_delta()->add_token_ids(token_id);
  v1::PositionLogprobs* logprobs = message.mutable_delta()->add_logprobs();
  logprobs->set_token_id(token_id);
  logprobs->set_logprob(-0.5);
  logprobs->set_rank(1);
  return message;
}

v1::GenerateResponse ChoiceFinish(uint32_t choice, v1::FinishReason reason) {
  v1::GenerateResponse message;
  message.set_choice(choice);
  message.mutable_finish()->set_reason(reason);
  message.mutable_finish()->set_num_output_tokens(2);
  message.mutable_finish()->set_seed(100 + choice);
  if (reason == v1::FINISH_REASON_STOP) message.mutable_finish()->set_stop_text("END");
  return message;
}

// Two choices, interleaved; the second finishes first.
std::vector<v1::GenerateResponse> TwoChoices() {
  v1::GenerateResponse prompt_logprobs;
  prompt_logprobs.mutable_prompt_logprobs()->add_logprobs()->set_token_id(6);
  return {Prompt(),
          prompt_logprobs,
          ChoiceDelta(0, "Hello", 10),
          ChoiceDelta(1, "Good", 20),
          ChoiceDelta(1, " day\n", 21),
          ChoiceFinish(1, v1::FINISH_REASON_LENGTH),
          ChoiceDelta(0, " world", 11),
          ChoiceFinish(0, v1::FINISH_REASON_STOP)};
}

constexpr char kFirstChoice[] =
    "prompt logprobs: token id, logprob, rank, most likely tokens\n"
    "       6    0.00000      0 \n"
    "--- choice 0 (seed 100, stop) ---\n"
    "Hello world\n"
    "token ids: 10 11\n"
    "logprobs: token id, logprob, rank, most likely tokens\n"
    "      10   -0.50000      1 \n"
    "      11   -0.50000      1 \n";
constexpr char kSecondChoice[] =
    "--- choice 1 (seed 101, length) ---\n"
    "Good day\n"
    "token ids: 20 21\n"
    "logprobs: token id, logprob, rank, most likely tokens\n"
    "      20   -0.50000      1 \n"
    "      21   -0.50000      1 \n";

TEST(SeveralChoicesTest, TextShowsEachWholeAndInOrder) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kText, /*quiet=*/false, 2), kStart, &out, &diagnostics);
  std::vector<v1::GenerateResponse> messages = TwoChoices();
  const v1::GenerateResponse last = messages.back();
  messages.pop_back();
  for (const auto& message : messages) printer.Add(message, kStart + absl::Seconds(1));
  EXPECT_THAT(out.str(), IsEmpty()) << "choice 1 waits for choice 0";
  printer.Add(last, kStart + absl::Seconds(1));
  EXPECT_EQ(out.str(), std::string(kFirstChoice) + kSecondChoice);
  printer.End(Ok(), kStart + absl::Seconds(2));
  EXPECT_EQ(out.str(), std::string(kFirstChoice) + kSecondChoice) << "once";
  EXPECT_EQ(diagnostics.str(), "4 tokens in 2.00 s: first after 1.000 s, then 0.0 tokens/s\n");
}

TEST(SeveralChoicesTest, FirstIsShownWhileOthersRun) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kText, /*quiet=*/true, 2), kStart, &out, &diagnostics);
  printer.Add(ChoiceFinish(0, v1::FINISH_REASON_LENGTH), kStart);
  EXPECT_EQ(out.str(), "--- choice 0 (seed 100, length) ---\n");
}

TEST(SeveralChoicesTest, FailedCallShowsWhatThereIs) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kText, /*quiet=*/true, 2), kStart, &out, &diagnostics);
  std::vector<v1::GenerateResponse> messages = TwoChoices();
  messages.pop_back();
  for (const auto& message : messages) printer.Add(message, kStart);
  printer.End(Invalid(), kStart);
  EXPECT_THAT(out.str(), HasSubstr("--- choice 0 (unfinished) ---\nHello world\n"));
  EXPECT_THAT(out.str(), EndsWith(kSecondChoice));
  EXPECT_THAT(diagnostics.str(), HasSubstr("INVALID_ARGUMENT"));
}

TEST(SeveralChoicesTest, JsonListsThem) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kJson, /*quiet=*/true, 2), kStart, &out, &diagnostics);
  for (const auto& message : TwoChoices()) printer.Add(message, kStart);
  printer.End(Ok(), kStart);
  const nlohmann::json json = nlohmann::json::parse(out.str());
  EXPECT_FALSE(json.contains("text"));
  EXPECT_EQ(json["num_prompt_tokens"], 7);
  EXPECT_EQ(json["prompt_logprobs"][0]["token_id"], 6);
  ASSERT_EQ(json["choices"].size(), 2u);
  const nlohmann::json& first = json["choices"][0];
  EXPECT_EQ(first["choice"], 0);
  EXPECT_EQ(first["seed"], 100);
  EXPECT_EQ(first["text"], "Hello world");
  EXPECT_EQ(first["token_ids"], nlohmann::json({10, 11}));
  EXPECT_EQ(first["logprobs"][1]["token_id"], 11);
  EXPECT_EQ(first["finish"]["reason"], "stop");
  EXPECT_EQ(first["finish"]["stop_text"], "END");
  const nlohmann::json& second = json["choices"][1];
  EXPECT_EQ(second["text"], "Good day\n");
  EXPECT_EQ(second["finish"]["reason"], "length");
  EXPECT_FALSE(second["finish"].contains("stop_text"));
}

TEST(SeveralChoicesTest, JsonLinesCarryTheChoice) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kJsonStream, /*quiet=*/true, 2), kStart, &out,
                        &diagnostics);
  const std::vector<v1::GenerateResponse> messages = TwoChoices();
  for (const auto& message : messages) printer.Add(message, kStart);
  std::istringstream lines(out.str());
  std::string line;
  for (const auto& message : messages) {
    ASSERT_TRUE(std::getline(lines, line));
    const nlohmann::json json = nlohmann::json::parse(line);
    const bool of_choice = message.has_delta() || message.has_finish();
    EXPECT_EQ(json.contains("choice"), of_choice) << line;
    if (!of_choice) continue;
    EXPECT_EQ(json["choice"], message.choice()) << line;
  }
}

TEST(AnswerPrinterTest, JsonOfOneChoiceTellsTheStopText) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(Options(OutputForm::kJson), kStart, &out, &diagnostics);
  printer.Add(ChoiceFinish(0, v1::FINISH_REASON_STOP), kStart);
  printer.End(Ok(), kStart);
  const nlohmann::json json = nlohmann::json::parse(out.str());
  EXPECT_EQ(json["finish"]["stop_text"], "END");
  EXPECT_FALSE(json.contains("choices"));
}

TEST(RpcErrorTest, DetailsThatSayMoreAreShown) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  google::rpc::ErrorInfo info;
  info.set_reason("INTERNAL");
  (*info.mutable_metadata())["request_id"] = "r9";
  google::rpc::Status status;
  status.add_details()->PackFrom(retry);
  status.add_details()->PackFrom(info);
  const RpcError error = {absl::StatusCode::kUnavailable, "later", status.SerializeAsString()};
  EXPECT_EQ(DescribeError(error),
            "UNAVAILABLE: later\n  try again after 0.5 s\n  reason INTERNAL, request_id r9");
}

TEST(RpcErrorTest, GarbageDetailsAreNoDetails) {
  const RpcError error = {absl::StatusCode::kInternal, "broken", "\xff\xff"};
  EXPECT_EQ(DescribeError(error), "INTERNAL: broken");
}

}  // namespace
}  // namespace winnow
