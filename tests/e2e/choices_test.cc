// Several choices, stop strings and the other options of a request, through gRPC.
#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/philox.h"
#include "proto/google/rpc/error_details.pb.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Choice {
  std::string text;
  std::vector<uint32_t> ids;
  v1::Finish finish;
  int num_finishes = 0;
};

std::map<uint32_t, Choice> Choices(const Outcome& outcome) {
  std::map<uint32_t, Choice> choices;
  for (const v1::GenerateResponse& message : outcome.messages) {
    if (message.has_delta()) {
      Choice& choice = choices[message.choice()];
      EXPECT_EQ(choice.num_finishes, 0) << "a delta after the finish";
      choice.text += message.delta().text();
      const auto& ids = message.delta().token_ids();
      choice.ids.insert(choice.ids.end(), ids.begin(), ids.end());
    } else if (message.has_finish()) {
      choices[message.choice()].finish = message.finish();
      ++choices[message.choice()].num_finishes;
    }
  }
  return choices;
}

v1::GenerateRequest Drawn(uint32_t max_tokens) {
  v1::GenerateRequest request = IdsRequest(SomePrompt(40), max_tokens);
  request.mutable_sampling()->set_temperature(1);
  request.mutable_sampling()->set_seed(99);
  return request;
}

TEST(ChoicesTest, EachIsAsAskedForAloneWithItsSeed) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest request = Drawn(12);
  request.mutable_sampling()->set_n(8);
  const Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  const std::map<uint32_t, Choice> choices = Choices(outcome);
  ASSERT_THAT(choices, SizeIs(8));
  EXPECT_EQ(outcome.Prompt().seed(), 99u);
  for (const auto& [index, choice] : choices) {
    EXPECT_EQ(choice.num_finishes, 1);
    EXPECT_EQ(choice.finish.num_output_tokens(), 12u);
    EXPECT_EQ(choice.finish.seed(), DeriveSeed(99, index));
    v1::GenerateRequest alone = Drawn(12);
    alone.mutable_sampling()->set_seed(choice.finish.seed());
    EXPECT_EQ(client.Generate(alone).TokenIds(), choice.ids);
  }
  EXPECT_TRUE(IsIdle(client.GetLoad()));
}

TEST(ChoicesTest, MoreThanThereAreSlotsAreRefused) {
  TestServer server;  // 8 sequences
  Client client(server.address());
  v1::GenerateRequest request = Drawn(1);
  request.mutable_sampling()->set_n(9);
  const Outcome outcome = client.Generate(request);
  EXPECT_EQ(outcome.code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(outcome.message, "sampling.n is 9; it must be from 1 to 8 here");
}

TEST(ChoicesTest, CancelFreesAllOfThem) {
  TestServer server;
  Client client(server.address());
  server.model().HoldSteps();
  v1::GenerateRequest request = Drawn(10'000);
  request.mutable_sampling()->set_n(8);
  std::unique_ptr<Call> call = client.Start(request);
  server.model().AllowSteps(3);
  v1::GenerateResponse message;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(call->Read(&message));
  EXPECT_EQ(client.GetLoad().slots_used(), 8u);
  call->Cancel();
  server.model().Release();
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

TEST(ChoicesTest, OneThatFailsFailsTheCallAndTheOthersAreWhole) {
  TestServer server;
  Client client(server.address());
  v1::GenerateRequest request = Drawn(6);
  request.mutable_sampling()->set_n(3);
  const std::map<uint32_t, Choice> good = Choices(client.Generate(request));
  // A token that only choice 1 draws, before its last one.
  std::set<uint32_t> others(request.token_ids().ids().begin(), request.token_ids().ids().end());
  for (const uint32_t c : {0u, 2u}) others.insert(good.at(c).ids.begin(), good.at(c).ids.end());
  const std::vector<uint32_t>& ids = good.at(1).ids;
  const auto own =
      std::find_if(ids.begin(), ids.end() - 1, [&](uint32_t id) { return others.count(id) == 0; });
  ASSERT_NE(own, ids.end() - 1);
  server.model().PoisonToken(*own);
  const Outcome outcome = client.Generate(request);
  EXPECT_EQ(outcome.code, absl::StatusCode::kInternal) << outcome;
  const std::map<uint32_t, Choice> choices = Choices(outcome);
  EXPECT_EQ(choices.at(1).finish.reason(), v1::FINISH_REASON_ERROR);
  EXPECT_EQ(choices.at(1).finish.num_output_tokens(), own - ids.begin() + 1);
  EXPECT_EQ(choices.at(0).ids, good.at(0).ids);
  EXPECT_EQ(choices.at(2).ids, good.at(2).ids);
}

// ---- Stopping ----

// The greedy answer and its text.
struct Answer {
  Answer(const TestServer& server, int num_tokens)
      : ids(FakeModel::GreedyAnswer(SomePrompt(3), num_tokens)),
        text(server.tokenizer().Decode(ids, false).value()) {}

  std::vector<uint32_t> ids;
  std::string text;
};

TEST(StopTest, StopStringsEndTheTextAndTheSequence) {
  TestServer server;
  Client client(server.address());
  const Answer answer(server, 60);
  // Every short piece of the text, wherever token borders lie, as long as it is whole characters.
  for (size_t begin = 3; begin + 4 < answer.text.size(); begin += 5) {
    const std::string stop = answer.text.substr(begin, 4);
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (!std::all_of(stop.begin(), stop.end(), is_ascii)) continue;
    v1::GenerateRequest request = IdsRequest(SomePrompt(3), 60);
    request.mutable_stop()->add_stop("no such text");
    request.mutable_stop()->add_stop(stop);
    const Outcome outcome = client.Generate(request);
    ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
    EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_STOP);
    EXPECT_EQ(outcome.Finish().stop_text(), stop);
    const size_t found = answer.text.find(stop);
    EXPECT_EQ(outcome.Text(), answer.text.substr(0, found));
    // As many tokens as it takes to complete the stop string, and not one more.
    const std::vector<uint32_t> ids = outcome.TokenIds();
    EXPECT_EQ(outcome.Finish().num_output_tokens(), ids.size());
    const std::string so_far = server.tokenizer().Decode(ids, false).value();
    EXPECT_NE(so_far.find(stop), std::string::npos);
    const std::vector<uint32_t> fewer(ids.begin(), ids.end() - 1);
    EXPECT_EQ(server.tokenizer().Decode(fewer, false).value().find(stop), std::string::npos);

    request.mutable_stop()->set_include_stop_text(true);
    EXPECT_EQ(client.Generate(request).Text(), answer.text.substr(0, found) + stop);
  }
}

TEST(StopTest, MinTokensPutOffStopTokensAndStopStrings) {
  TestServer server;
  Client client(server.address());
  const Answer answer(server, 30);
  v1::GenerateRequest request = IdsRequest(SomePrompt(3), 30);
  request.mutable_stop()->set_min_tokens(10);
  for (const uint32_t id : answer.ids) request.mutable_stop()->add_stop_token_ids(id);
  Outcome outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_GT(outcome.Finish().num_output_tokens(), 10u);

  request = IdsRequest(SomePrompt(3), 30);
  request.mutable_stop()->set_min_tokens(10);
  for (const char* stop : {"a", "e", "i", "o", "s", "t", " "}) {
    request.mutable_stop()->add_stop(stop);
  }
  outcome = client.Generate(request);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.Finish().reason(), v1::FINISH_REASON_STOP);
  EXPECT_GT(outcome.Finish().num_output_tokens(), 10u);
}

// ---- Limits by flag ----

TEST(RequestLimitsTest, EachNamesFieldValueAndLimit) {
  Options options = TestOptions();
  options.max_prompt_tokens = 10;
  options.max_tokens_limit = 20;
  options.default_max_tokens = 20;
  options.max_choices = 2;
  options.max_stop_strings = 1;
  options.max_logit_bias = 1;
  TestServer server(options);
  Client client(server.address());
  const auto expect = [&](const v1::GenerateRequest& request, const std::string& field,
                          const std::string& message) {
    const Outcome outcome = client.Generate(request);
    EXPECT_EQ(outcome.code, absl::StatusCode::kInvalidArgument) << outcome;
    const auto detail = outcome.Get<google::rpc::BadRequest>();
    ASSERT_THAT(detail.field_violations(), SizeIs(1));
    EXPECT_EQ(detail.field_violations(0).field(), field);
    EXPECT_THAT(outcome.message, HasSubstr(message));
  };
  expect(IdsRequest(SomePrompt(11), 1), "prompt", "has 11 tokens; at most 10");
  expect(IdsRequest(SomePrompt(1), 21), "stop.max_tokens", "is 21; at most 20");
  v1::GenerateRequest request = IdsRequest(SomePrompt(1), 1);
  request.mutable_sampling()->set_n(3);
  expect(request, "sampling.n", "is 3; it must be from 1 to 2");
  request = IdsRequest(SomePrompt(1), 1);
  request.mutable_stop()->add_stop("a");
  request.mutable_stop()->add_stop("b");
  expect(request, "stop.stop", "has 2 entries; at most 1");
  request = IdsRequest(SomePrompt(1), 1);
  (*request.mutable_sampling()->mutable_logit_bias())[1] = 1;
  (*request.mutable_sampling()->mutable_logit_bias())[2] = 1;
  expect(request, "sampling.logit_bias", "has 2 entries; at most 1");
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(10), 20)).code, absl::StatusCode::kOk);
}

}  // namespace
}  // namespace winnow
