// What a Generate stream says when all goes well.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(GenerateTest, PromptInfoThenDeltasThenFinish) {
  TestServer server;
  Client client(server.address());
  const std::vector<uint32_t> prompt = SomePrompt(40);
  v1::GenerateRequest request = IdsRequest(prompt, 20);
  request.set_request_id("my-id");
  request.mutable_sampling()->set_seed(17);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.Prompt().request_id(), "my-id");
  EXPECT_EQ(outcome.Prompt().model(), "fake");
  EXPECT_EQ(outcome.Prompt().num_prompt_tokens(), 40u);
  EXPECT_EQ(outcome.Prompt().seed(), 17u);
  for (size_t i = 1; i + 1 < outcome.messages.size(); ++i) {
    EXPECT_TRUE(outcome.messages[i].has_delta());
    EXPECT_EQ(outcome.messages[i].delta().num_tokens(),
              static_cast<uint32_t>(outcome.messages[i].delta().token_ids_size()));
  }
  const std::vector<uint32_t> answer = FakeModel::GreedyAnswer(prompt, 20);
  EXPECT_THAT(outcome.TokenIds(), ElementsAreArray(answer));
  EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(outcome.Finish().num_output_tokens(), 20u);
  EXPECT_EQ(outcome.Finish().seed(), 17u);
  EXPECT_GE(outcome.Finish().timing().queue_seconds(), 0);
  EXPECT_GE(outcome.Finish().timing().decode_seconds(), 0);
  EXPECT_THAT(outcome.Finish().kept(), IsEmpty());
}

TEST(GenerateTest, TextIsTheTokensText) {
  TestServer server;
  Client client(server.address());
  for (const bool special : {false, true}) {
    for (int seed = 0; seed < 5; ++seed) {
      const std::vector<uint32_t> prompt = SomePrompt(10, seed);
      v1::GenerateRequest request = IdsRequest(prompt, 100);
      request.mutable_output()->set_include_special_tokens(special);
      const Outcome outcome = client.Generate(request);
      ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
      const std::vector<uint32_t> answer = FakeModel::GreedyAnswer(prompt, 100);
      EXPECT_EQ(outcome.Text(), server.tokenizer().Decode(answer, special).value());
    }
  }
}

TEST(GenerateTest, TextPromptsAreTokenizedWithSpecialTokens) {
  TestServer server;
  Client client(server.address());
  const std::string text = "The code of the nimble cloud is";
  v1::GenerateRequest request = TextRequest(text, 5);
  request.mutable_output()->set_token_ids(true);
  request.mutable_stop()->set_ignore_eos(true);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  const auto prompt = server.tokenizer().Encode(text, true).value();
  EXPECT_EQ(outcome.Prompt().num_prompt_tokens(), prompt.size());
  EXPECT_THAT(outcome.TokenIds(), ElementsAreArray(FakeModel::GreedyAnswer(prompt, 5)));
}

TEST(GenerateTest, WithoutTokenIdsAndTextOnlyCounts) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest request = IdsRequest(SomePrompt(3), 9);
  request.mutable_output()->set_token_ids(false);
  request.mutable_output()->set_skip_text(true);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  uint32_t num_tokens = 0;
  for (const auto& message : outcome.messages) num_tokens += message.delta().num_tokens();
  EXPECT_EQ(num_tokens, 9u);
  EXPECT_EQ(outcome.Text(), "");
  EXPECT_THAT(outcome.TokenIds(), IsEmpty());
}

TEST(GenerateTest, ServesIdsWithoutTokenizer) {
  TestServer server(TestOptions(), /*with_tokenizer=*/false);
  Client client(server.address());
  v1::GenerateRequest request = IdsRequest(SomePrompt(3), 4);
  request.mutable_output()->set_skip_text(true);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_THAT(outcome.TokenIds(), ElementsAreArray(FakeModel::GreedyAnswer(SomePrompt(3), 4)));
}

TEST(GenerateTest, StopTokenEndsTheOutputAndIsCounted) {
  TestServer server;
  Client client(server.address());
  const std::vector<uint32_t> answer = FakeModel::GreedyAnswer(SomePrompt(3), 8);
  v1::GenerateRequest request = IdsRequest(SomePrompt(3), 100);
  request.mutable_stop()->add_stop_token_ids(answer[5]);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(outcome.Finish().stop_token_id(), answer[5]);
  EXPECT_EQ(outcome.Finish().num_output_tokens(), 6u);
}

TEST(GenerateTest, NoOutputTokensComputesThePromptOnly) {
  TestServer server;
  Client client(server.address());
  const Outcome outcome = client.Generate(IdsRequest(SomePrompt(700), 0));
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_THAT(outcome.messages, SizeIs(2));
  EXPECT_EQ(outcome.Prompt().num_prompt_tokens(), 700u);
  EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(outcome.Finish().num_output_tokens(), 0u);
}

TEST(GenerateTest, DrawnSeedIsReportedAndGivesTheSameAnswerAgain) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest request = IdsRequest(SomePrompt(5), 30);
  request.mutable_sampling()->set_temperature(1);
  const Outcome first = client.Generate(request);
  const Outcome second = client.Generate(request);
  ASSERT_EQ(first.code, absl::StatusCode::kOk) << first;
  EXPECT_NE(first.Prompt().seed(), second.Prompt().seed());
  EXPECT_NE(first.TokenIds(), second.TokenIds());
  EXPECT_NE(first.Prompt().request_id(), second.Prompt().request_id());
  EXPECT_EQ(first.Prompt().seed(), first.Finish().seed());
  request.mutable_sampling()->set_seed(first.Prompt().seed());
  EXPECT_EQ(client.Generate(request).TokenIds(), first.TokenIds());
}

TEST(GenerateTest, LogprobsOfOutputTokens) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest request = IdsRequest(SomePrompt(5), 7);
  request.mutable_output()->set_logprobs(3);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  const std::vector<v1::PositionLogprobs> logprobs = outcome.Logprobs();
  const std::vector<uint32_t> ids = outcome.TokenIds();
  ASSERT_THAT(logprobs, SizeIs(7));
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(logprobs[i].token_id(), ids[i]);
    EXPECT_LT(logprobs[i].logprob(), 0);
    EXPECT_GE(logprobs[i].rank(), 1u);
    EXPECT_THAT(logprobs[i].top(), SizeIs(3));
  }
  request.mutable_output()->set_logprobs(0);
  EXPECT_THAT(client.Generate(request).Logprobs()[6].top(), IsEmpty());
}

TEST(GenerateTest, PromptLogprobsComeInMessagesOfAtMostOneMebibyte) {
  TestServer server;
  Client client(server.address());
  const std::vector<uint32_t> prompt = SomePrompt(20'000);
  v1::GenerateRequest request = IdsRequest(prompt, 2);
  request.mutable_output()->set_prompt_logprobs(20);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome.message;
  uint32_t next_position = 1;
  int num_messages = 0;
  bool delta_seen = false;
  for (const auto& message : outcome.messages) {
    delta_seen |= message.has_delta();
    if (!message.has_prompt_logprobs()) continue;
    EXPECT_FALSE(delta_seen);
    EXPECT_LE(message.ByteSizeLong(), 1u << 20);
    EXPECT_EQ(message.prompt_logprobs().first_position(), next_position);
    for (const auto& entry : message.prompt_logprobs().logprobs()) {
      ASSERT_EQ(entry.token_id(), prompt[next_position++]);
      ASSERT_THAT(entry.top(), SizeIs(20));
    }
    ++num_messages;
  }
  EXPECT_EQ(next_position, 20'000u);
  EXPECT_GE(num_messages, 4);
  EXPECT_LE(num_messages, 12) << "messages are filled";
}

TEST(GenerateTest, StateUsageTellsWhatEachHeadKept) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest request = IdsRequest(SomePrompt(20), 3);
  request.mutable_output()->set_state_usage(true);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  ASSERT_THAT(outcome.Finish().kept(), SizeIs(1));
  EXPECT_EQ(outcome.Finish().kept(0).layer(), 1u);
  // 22 tokens are computed (the last one sampled is not), of which 17 are in the window.
  EXPECT_THAT(outcome.Finish().kept(0).kept_tokens(), ElementsAre(5, 5));
}

TEST(GenerateTest, UnreadTokensCoalesce) {
  TestServer server;
  Client client(server.address());
  // Far more than gRPC takes ahead of a reader: 64 KiB windows, some 10 bytes a token with its id
  // and logprobs.
  v1::GenerateRequest request = IdsRequest(SomePrompt(5), 4000);
  request.mutable_output()->set_logprobs(20);
  std::unique_ptr<Call> call = client.Start(request);
  ASSERT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
  const Outcome outcome = call->Finish();
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome.message;
  EXPECT_THAT(outcome.TokenIds(), ElementsAreArray(FakeModel::GreedyAnswer(SomePrompt(5), 4000)));
  uint32_t largest = 0;
  for (const auto& message : outcome.messages) {
    largest = std::max(largest, message.delta().num_tokens());
    EXPECT_LE(message.ByteSizeLong(), 1u << 20);
  }
  EXPECT_GT(largest, 100u);
}

TEST(GenerateTest, MaxSequenceTokensEndsWithLength) {
  Options options = TestOptions();
  options.max_sequence_tokens = 50;
  TestServer server(options);
  Client client(server.address());
  const Outcome outcome = client.Generate(IdsRequest(SomePrompt(40), 20));
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_THAT(outcome.TokenIds(), SizeIs(10));
}

}  // namespace
}  // namespace winnow
