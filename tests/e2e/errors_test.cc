// Each row of the status table: code, and details that decode with the standard protos. What
// happens with a full queue, a drain, a deadline or a cancel stands in admission_test, drain_test
// and cancel_test.
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

std::string ViolatedField(const Outcome& outcome) {
  const auto detail = outcome.Get<google::rpc::BadRequest>();
  return detail.field_violations_size() == 1 ? detail.field_violations(0).field() : "";
}

TEST(ErrorsTest, BadParameterIsInvalidArgumentWithTheField) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest request = TextRequest("hello", 4);
  request.mutable_sampling()->set_top_p(1.5f);
  const Outcome outcome = client.Generate(request);
  EXPECT_EQ(outcome.code, absl::StatusCode::kInvalidArgument) << outcome;
  EXPECT_EQ(ViolatedField(outcome), "sampling.top_p");
  EXPECT_EQ(outcome.details.code(), 3);
  EXPECT_EQ(outcome.details.message(), outcome.message);
  EXPECT_THAT(outcome.messages, IsEmpty());
  EXPECT_THAT(outcome.trailers, Not(Contains(Key("grpc-retry-pushback-ms"))));
}

TEST(ErrorsTest, PromptThatNeverFitsIsInvalidArgument) {
  Options options = TestOptions();
  options.max_sequence_tokens = 50;
  TestServer server(options);
  Client client(server.address());
  const Outcome outcome = client.Generate(IdsRequest(SomePrompt(51), 1));
  EXPECT_EQ(outcome.code, absl::StatusCode::kInvalidArgument) << outcome;
  EXPECT_EQ(ViolatedField(outcome), "prompt");
  EXPECT_THAT(outcome.message, HasSubstr("51"));
  EXPECT_THAT(outcome.message, HasSubstr("50"));
}

TEST(ErrorsTest, UnknownModelIsNotFoundForEveryRpc) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest generate = TextRequest("hello", 4);
  generate.set_model("other");
  v1::TokenizeRequest tokenize;
  tokenize.set_model("other");
  v1::TokenizeResponse tokens;
  v1::DetokenizeRequest detokenize;
  detokenize.set_model("other");
  v1::DetokenizeResponse text;
  v1::GetModelInfoRequest info_request;
  info_request.set_model("other");
  v1::GetModelInfoResponse info;
  for (const Outcome& outcome :
       {client.Generate(generate), client.Tokenize(tokenize, &tokens),
        client.Detokenize(detokenize, &text), client.GetModelInfo(info_request, &info)}) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kNotFound) << outcome;
    EXPECT_EQ(outcome.Get<google::rpc::ErrorInfo>().metadata().at("model"), "other");
  }
}

TEST(ErrorsTest, UnsupportedFieldIsUnimplementedAndNamed) {
  TestServer server;
  Client client(server.address());
  // As a client with a newer contract sends it.
  v1::GenerateRequest request = TextRequest("hello", 4);
  auto* sampling = request.mutable_sampling();
  sampling->GetReflection()->MutableUnknownFields(sampling)->AddVarint(77, 1);
  v1::TokenizeRequest tokenize;
  tokenize.GetReflection()->MutableUnknownFields(&tokenize)->AddVarint(99, 1);
  v1::TokenizeResponse tokens;
  const std::pair<Outcome, std::string> cases[] = {{client.Generate(request), "sampling.#77"},
                                                   {client.Tokenize(tokenize, &tokens), "#99"}};
  for (const auto& [outcome, field] : cases) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kUnimplemented) << outcome;
    EXPECT_EQ(outcome.Get<google::rpc::ErrorInfo>().metadata().at("field"), field);
  }
}

TEST(ErrorsTest, TextWithoutTokenizerIsFailedPrecondition) {
  TestServer server(TestOptions(), /*with_tokenizer=*/false);
  Client client(server.address());
  v1::GenerateRequest text_in = TextRequest("hello", 4);
  text_in.mutable_output()->set_skip_text(true);
  v1::TokenizeResponse tokens;
  v1::DetokenizeResponse text;
  for (const Outcome& outcome :
       {client.Generate(text_in), client.Generate(IdsRequest(SomePrompt(3), 4)),
        client.Tokenize({}, &tokens), client.Detokenize({}, &text)}) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kFailedPrecondition) << outcome;
    EXPECT_EQ(outcome.Get<google::rpc::ErrorInfo>().reason(), "NO_TOKENIZER");
  }
}

TEST(ErrorsTest, FaultInOneRequestIsInternalForItAlone) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest poisoned = IdsRequest({7, 8, 9}, 50);
  poisoned.set_request_id("poisoned");
  server.model().PoisonToken(8);
  server.model().HoldSteps();
  std::unique_ptr<Call> sound = client.Start(IdsRequest({7, 7, 9}, 50));
  std::unique_ptr<Call> faulty = client.Start(poisoned);
  ASSERT_TRUE(WaitUntil([&] {
    const auto load = client.GetLoad();
    return load.running() + load.waiting() == 2;
  }));
  server.model().Release();
  const Outcome outcome = faulty->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kInternal) << outcome;
  EXPECT_EQ(outcome.Get<google::rpc::ErrorInfo>().metadata().at("request_id"), "poisoned");
  EXPECT_THAT(outcome.TokenIds(), IsEmpty()) << "nothing is drawn from faulty logits";
  EXPECT_EQ(sound->Finish().TokenIds(), FakeModel::GreedyAnswer({7, 7, 9}, 50));
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

TEST(ErrorsTest, FailedStepFailsItsRequestsAndTheServerGoesOn) {
  TestServer server;
  Client client(server.address());
  server.model().FailNextStep(absl::InternalError("an op failed"));
  const Outcome outcome = client.Generate(IdsRequest(SomePrompt(3), 5));
  EXPECT_EQ(outcome.code, absl::StatusCode::kInternal) << outcome;
  EXPECT_EQ(outcome.Get<google::rpc::ErrorInfo>().reason(), "INTERNAL");
  EXPECT_FALSE(outcome.Get<google::rpc::ErrorInfo>().metadata().at("request_id").empty());
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(3), 5)).code, absl::StatusCode::kOk);
}

TEST(ErrorsTest, FailureAfterThePromptEndsWithAFinishMessage) {
  TestServer server;
  Client client(server.address());
  server.model().HoldSteps();
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(3), 5));
  server.model().WaitUntilHeld();
  server.model().AllowSteps(1);
  server.model().WaitUntilHeld();
  server.model().FailNextStep(absl::InternalError("an op failed"));
  server.model().Release();
  const Outcome outcome = call->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kInternal) << outcome;
  EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_ERROR);
  EXPECT_EQ(outcome.Finish().num_output_tokens(), 1u);
}

TEST(ErrorsTest, LostDeviceAnswersEveryoneAndTellsTheProcess) {
  Options options = TestOptions();
  options.max_sequences = 1;
  TestServer server(options);
  Client client(server.address());
  server.model().HoldSteps();
  std::unique_ptr<Call> running = client.Start(IdsRequest(SomePrompt(3), 5));
  server.model().WaitUntilHeld();
  std::unique_ptr<Call> waiting = client.Start(IdsRequest(SomePrompt(3), 5));
  ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().waiting() == 1; }));
  server.model().FailNextStep(absl::DataLossError("the device fell off the bus"));
  server.model().Release();
  for (Call* call : {running.get(), waiting.get()}) {
    const Outcome outcome = call->Finish();
    EXPECT_EQ(outcome.code, absl::StatusCode::kInternal) << outcome;
    EXPECT_FALSE(outcome.Get<google::rpc::ErrorInfo>().metadata().at("request_id").empty());
  }
  ASSERT_TRUE(WaitUntil([&] { return server.fatal().has_value(); }));
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(3), 5)).code, absl::StatusCode::kUnavailable);
}

TEST(ErrorsTest, TooLargeMessageIsRefused) {
  Options options = TestOptions();
  options.max_message_bytes = 100'000;
  TestServer server(options);
  Client client(server.address());
  EXPECT_EQ(client.Generate(TextRequest(std::string(90'000, 'a'), 1)).code, absl::StatusCode::kOk);
  EXPECT_EQ(client.Generate(TextRequest(std::string(100'001, 'a'), 1)).code,
            absl::StatusCode::kResourceExhausted);
}

TEST(ErrorsTest, PromptsAreNotLoggedAndNamesCannotForgeLines) {
  TestServer server;
  Client client(server.address());
  LogCapture log;
  client.Generate(TextRequest("my secret prompt", 4));
  v1::GenerateRequest forged = TextRequest("my secret prompt", 4);
  forged.set_model("x\nrequest forged ended");
  client.Generate(forged);
  ASSERT_TRUE(WaitUntil([&] { return log.lines().size() >= 2; }));
  for (const std::string& line : log.lines()) {
    EXPECT_THAT(line, Not(HasSubstr("secret")));
    EXPECT_THAT(line, Not(HasSubstr("\n")));
  }
}

}  // namespace
}  // namespace winnow
