#include "client/answer_printer.h"

#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "proto/google/rpc/status.pb.h"

namespace winnow {
namespace {

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
  AnswerPrinter printer(OutputForm::kText, /*quiet=*/false, kStart, &out, &diagnostics);
  PrintAnswer(printer, Ok());
  EXPECT_EQ(out.str(), "Hello world\nlayer 1 kept per head: 5\n");
  EXPECT_EQ(diagnostics.str(), "3 tokens in 2.00 s: first after 0.500 s, then 2.0 tokens/s\n");
}

TEST(AnswerPrinterTest, QuietSaysNothingElse) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(OutputForm::kText, /*quiet=*/true, kStart, &out, &diagnostics);
  PrintAnswer(printer, Ok());
  EXPECT_THAT(diagnostics.str(), IsEmpty());
}

TEST(AnswerPrinterTest, ErrorsGoToDiagnosticsWithTheirDetails) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(OutputForm::kText, /*quiet=*/true, kStart, &out, &diagnostics);
  printer.End(Invalid(), kStart);
  EXPECT_THAT(out.str(), IsEmpty());
  EXPECT_EQ(diagnostics.str(), "winnow-client: INVALID_ARGUMENT: sampling.top_p is 2\n");
}

TEST(AnswerPrinterTest, JsonIsOneObject) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(OutputForm::kJson, /*quiet=*/true, kStart, &out, &diagnostics);
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
  AnswerPrinter printer(OutputForm::kJson, /*quiet=*/true, kStart, &out, &diagnostics);
  printer.End(Invalid(), kStart);
  const nlohmann::json error = nlohmann::json::parse(out.str())["error"];
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(error["message"], "sampling.top_p is 2");
  EXPECT_EQ(error["details"][0]["field_violations"][0]["field"], "sampling.top_p");
}

TEST(AnswerPrinterTest, JsonStreamIsALineForEachMessage) {
  std::ostringstream out, diagnostics;
  AnswerPrinter printer(OutputForm::kJsonStream, /*quiet=*/true, kStart, &out, &diagnostics);
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
