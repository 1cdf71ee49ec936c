#include "server/response_builder.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/philox.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Tokenizer& DemoTokenizer() {
  static const std::unique_ptr<const Tokenizer> tokenizer =
      Tokenizer::Load("deploy/demo-model/tokenizer.json").value();
  return *tokenizer;
}

OutputToken Token(uint32_t id) {
  OutputToken token;
  token.token = id;
  token.logprob = -0.5f;
  token.rank = 1;
  return token;
}

StreamFacts Facts() {
  StreamFacts facts;
  facts.request_id = "r";
  facts.model = "m";
  facts.num_prompt_tokens = 3;
  facts.seed = 9;
  facts.output.token_ids = true;
  facts.stops = std::make_shared<const StopStrings>(std::vector<std::string>());
  return facts;
}

PendingOutput Tokens(const std::vector<uint32_t>& ids) {
  PendingOutput output;
  output.prompt_computed = true;
  output.choices.resize(1);
  for (const uint32_t id : ids) output.choices[0].tokens.push_back(Token(id));
  return output;
}

PendingOutput Ended(PendingOutput output, FinishReason reason) {
  if (output.choices.empty()) output.choices.resize(1);
  output.choices[0].finish.emplace().reason = reason;
  return output;
}

std::vector<v1::GenerateResponse> Drained(ResponseBuilder& builder) {
  std::vector<v1::GenerateResponse> messages;
  while (!builder.empty()) builder.Next(&messages.emplace_back());
  return messages;
}

TEST(ResponseBuilderTest, PromptInfoComesOnceAndFirst) {
  ResponseBuilder builder(Facts(), nullptr);
  builder.Add(Tokens({7, 8}));
  const auto messages = Drained(builder);
  ASSERT_THAT(messages, SizeIs(2));
  EXPECT_EQ(messages[0].prompt().request_id(), "r");
  EXPECT_EQ(messages[0].prompt().seed(), 9u);
  EXPECT_THAT(messages[1].delta().token_ids(), ElementsAre(7, 8));
  EXPECT_EQ(messages[1].delta().num_tokens(), 2u);
  builder.Add(Tokens({9}));
  ASSERT_THAT(Drained(builder), SizeIs(1));
  EXPECT_FALSE(builder.ended());
}

// The euro sign is three bytes, which are three tokens here.
std::vector<uint32_t> EuroTokens() {
  const std::vector<uint32_t> ids = DemoTokenizer().Encode("\xe2\x82\xac", false).value();
  EXPECT_THAT(ids, SizeIs(3));
  return ids;
}

TEST(ResponseBuilderTest, TextIsWholeCharactersAndCountsGoOn) {
  ResponseBuilder builder(Facts(), &DemoTokenizer());
  std::vector<std::string> texts;
  for (const uint32_t id : EuroTokens()) {
    builder.Add(Tokens({id}));
    for (const auto& message : Drained(builder)) {
      if (!message.has_delta()) continue;
      EXPECT_EQ(message.delta().num_tokens(), 1u);
      texts.push_back(message.delta().text());
    }
  }
  EXPECT_THAT(texts, ElementsAre("", "", "\xe2\x82\xac"));
}

TEST(ResponseBuilderTest, TailIsFlushedWithTheLastTokens) {
  ResponseBuilder builder(Facts(), &DemoTokenizer());
  builder.Add(Ended(Tokens({EuroTokens()[0]}), FinishReason::kLength));
  const auto messages = Drained(builder);
  ASSERT_THAT(messages, SizeIs(3));
  EXPECT_EQ(messages[1].delta().text(), "\xef\xbf\xbd");
  EXPECT_EQ(messages[2].finish().reason(), v1::FINISH_REASON_LENGTH);
}

TEST(ResponseBuilderTest, TailWithoutTokensIsADeltaOfItsOwn) {
  ResponseBuilder builder(Facts(), &DemoTokenizer());
  builder.Add(Tokens({EuroTokens()[0]}));
  Drained(builder);
  builder.Add(Ended(Tokens({}), FinishReason::kLength));
  const auto messages = Drained(builder);
  ASSERT_THAT(messages, SizeIs(2));
  EXPECT_EQ(messages[0].delta().text(), "\xef\xbf\xbd");
  EXPECT_EQ(messages[0].delta().num_tokens(), 0u);
  EXPECT_TRUE(messages[1].has_finish());
}

TEST(ResponseBuilderTest, EndBeforeThePromptHasNoMessage) {
  for (const bool text : {false, true}) {
    ResponseBuilder builder(Facts(), text ? &DemoTokenizer() : nullptr);
    builder.Add(Ended(PendingOutput(), FinishReason::kDeadline));
    EXPECT_TRUE(builder.ended());
    EXPECT_THAT(Drained(builder), IsEmpty());
    EXPECT_EQ(builder.status().code(), absl::StatusCode::kDeadlineExceeded);
  }
}

TEST(ResponseBuilderTest, ManyTokensAreSeveralDeltasOfAtMostOneMebibyte) {
  StreamFacts facts = Facts();
  facts.output.logprobs = 20;
  ResponseBuilder builder(facts, nullptr);
  PendingOutput output = Tokens(std::vector<uint32_t>(10'000, 1000));
  for (OutputToken& token : output.choices[0].tokens) token.top.assign(20, {1'000'000, -1.5f});
  builder.Add(std::move(output));
  uint32_t num_tokens = 0;
  for (const auto& message : Drained(builder)) {
    EXPECT_LE(message.ByteSizeLong(), 1u << 20);
    num_tokens += message.delta().num_tokens();
  }
  EXPECT_EQ(num_tokens, 10'000u);
}

TEST(ResponseBuilderTest, PromptLogprobsKeepTheirPositionsOverSeveralAdds) {
  ResponseBuilder builder(Facts(), nullptr);
  PendingOutput first = Tokens({}), second = Tokens({});
  first.prompt_logprobs = {Token(4), Token(5)};
  second.prompt_logprobs = {Token(6)};
  builder.Add(std::move(first));
  EXPECT_EQ(Drained(builder).back().prompt_logprobs().first_position(), 1u);
  builder.Add(std::move(second));
  EXPECT_EQ(Drained(builder).back().prompt_logprobs().first_position(), 3u);
}

TEST(ResponseBuilderTest, KeptCountsAreGroupedByLayer) {
  StreamFacts facts = Facts();
  facts.output.state_usage = true;
  const std::vector<KeptHead> heads = {{1, 0}, {1, 1}, {5, 0}, {5, 1}};
  facts.kept_heads = &heads;
  ResponseBuilder builder(facts, nullptr);
  PendingOutput output = Ended(Tokens({}), FinishReason::kStop);
  output.choices[0].finish->kept_counts = {10, 11, 50, 51};
  builder.Add(std::move(output));
  const v1::Finish finish = Drained(builder).back().finish();
  ASSERT_THAT(finish.kept(), SizeIs(2));
  EXPECT_EQ(finish.kept(0).layer(), 1u);
  EXPECT_THAT(finish.kept(0).kept_tokens(), ElementsAre(10, 11));
  EXPECT_EQ(finish.kept(1).layer(), 5u);
  EXPECT_THAT(finish.kept(1).kept_tokens(), ElementsAre(50, 51));
}

TEST(ResponseBuilderTest, ChoicesInterleaveEachWithItsOwnSeedAndFinish) {
  StreamFacts facts = Facts();
  facts.num_choices = 3;
  ResponseBuilder builder(facts, nullptr);
  PendingOutput output = Tokens({7});
  output.choices.resize(3);
  output.choices[2].tokens = {Token(8), Token(9)};
  builder.Add(Ended(std::move(output), FinishReason::kStop));
  const auto messages = Drained(builder);
  ASSERT_THAT(messages, SizeIs(4));
  EXPECT_TRUE(messages[0].has_prompt());
  EXPECT_EQ(messages[1].choice(), 0u);
  EXPECT_THAT(messages[1].delta().token_ids(), ElementsAre(7));
  EXPECT_EQ(messages[2].choice(), 0u);
  EXPECT_EQ(messages[2].finish().seed(), 9u);
  EXPECT_EQ(messages[3].choice(), 2u);
  EXPECT_THAT(messages[3].delta().token_ids(), ElementsAre(8, 9));
  EXPECT_FALSE(builder.ended());

  output = Tokens({});
  output.choices.resize(3);
  output.choices[1].finish.emplace().reason = FinishReason::kError;
  output.choices[2].finish.emplace().reason = FinishReason::kLength;
  output.choices[2].finish->num_output_tokens = 2;
  builder.Add(std::move(output));
  const auto rest = Drained(builder);
  ASSERT_THAT(rest, SizeIs(2));
  EXPECT_EQ(rest[0].choice(), 1u);
  EXPECT_EQ(rest[0].finish().reason(), v1::FINISH_REASON_ERROR);
  EXPECT_EQ(rest[0].finish().seed(), DeriveSeed(9, 1));
  EXPECT_EQ(rest[1].finish().seed(), DeriveSeed(9, 2));
  EXPECT_TRUE(builder.ended());
  EXPECT_EQ(builder.status().code(), absl::StatusCode::kInternal) << "one failed";
  EXPECT_EQ(builder.num_output_tokens(), 2u);
}

TEST(ResponseBuilderTest, EndBeforeThePromptMayComeChoiceByChoice) {
  StreamFacts facts = Facts();
  facts.num_choices = 2;
  ResponseBuilder builder(facts, nullptr);
  builder.Add(Ended(PendingOutput(), FinishReason::kCancelled));
  EXPECT_TRUE(builder.empty());
  EXPECT_FALSE(builder.ended());
  PendingOutput output;
  output.choices.resize(2);
  output.choices[1].finish.emplace().reason = FinishReason::kCancelled;
  builder.Add(std::move(output));
  EXPECT_TRUE(builder.ended());
  EXPECT_THAT(Drained(builder), IsEmpty());
}

TEST(ResponseBuilderTest, StatusFollowsTheReason) {
  const struct {
    FinishReason reason;
    absl::Status error;
    absl::StatusCode code;
  } cases[] = {
      {FinishReason::kStop, {}, absl::StatusCode::kOk},
      {FinishReason::kLength, {}, absl::StatusCode::kOk},
      {FinishReason::kCancelled, {}, absl::StatusCode::kUnavailable},
      {FinishReason::kDeadline, {}, absl::StatusCode::kDeadlineExceeded},
      {FinishReason::kError, absl::InternalError("x"), absl::StatusCode::kInternal},
      {FinishReason::kError, absl::UnavailableError("x"), absl::StatusCode::kUnavailable},
  };
  for (const auto& c : cases) {
    ResponseBuilder builder(Facts(), nullptr);
    PendingOutput output = Ended(Tokens({}), c.reason);
    output.choices[0].finish->error = c.error;
    builder.Add(std::move(output));
    EXPECT_EQ(builder.status().code(), c.code);
    EXPECT_TRUE(Drained(builder).back().has_finish());
  }
}

}  // namespace
}  // namespace winnow
