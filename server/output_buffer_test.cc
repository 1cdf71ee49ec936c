#include "server/output_buffer.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

OutputToken Token(uint32_t id) {
  OutputToken token;
  token.token = id;
  return token;
}

std::vector<uint32_t> Ids(const std::vector<OutputToken>& tokens) {
  std::vector<uint32_t> ids;
  for (const OutputToken& token : tokens) ids.push_back(token.token);
  return ids;
}

TEST(OutputBufferTest, PromptIsAnnouncedOnce) {
  OutputBuffer buffer(8);
  EXPECT_FALSE(buffer.ready());
  buffer.AddPromptComputed();
  EXPECT_TRUE(buffer.ready());
  EXPECT_TRUE(buffer.Take().prompt_computed);
  EXPECT_FALSE(buffer.ready());
}

TEST(OutputBufferTest, PromptLogprobsWaitForThePrompt) {
  OutputBuffer buffer(8);
  buffer.AddPromptLogprobs(1, {Token(5), Token(6)});
  buffer.AddPromptLogprobs(3, {Token(7)});
  EXPECT_FALSE(buffer.ready());
  buffer.AddPromptComputed();
  EXPECT_TRUE(buffer.ready());
  const PendingOutput output = buffer.Take();
  EXPECT_THAT(Ids(output.prompt_logprobs), ElementsAre(5, 6, 7));
}

TEST(OutputBufferTest, LatePromptLogprobsAreReady) {
  OutputBuffer buffer(8);
  buffer.AddPromptComputed();
  buffer.Take();
  buffer.AddPromptLogprobs(1, {Token(5)});
  EXPECT_TRUE(buffer.ready());
  EXPECT_THAT(Ids(buffer.Take().prompt_logprobs), ElementsAre(5));
}

TEST(OutputBufferDeathTest, GapInPromptLogprobs) {
  OutputBuffer buffer(8);
  buffer.AddPromptLogprobs(1, {Token(5), Token(6)});
  EXPECT_DEATH(buffer.AddPromptLogprobs(4, {Token(7)}), "CHECK failed");
}

TEST(OutputBufferTest, TokensCoalesce) {
  OutputBuffer buffer(8);
  buffer.AddPromptComputed();
  EXPECT_TRUE(buffer.AddToken(0, Token(1)));
  EXPECT_TRUE(buffer.AddToken(0, Token(2)));
  EXPECT_THAT(Ids(buffer.Take().choices.at(0).tokens), ElementsAre(1, 2));
  EXPECT_FALSE(buffer.ready());
  EXPECT_TRUE(buffer.AddToken(0, Token(3)));
  EXPECT_TRUE(buffer.ready());
  EXPECT_THAT(Ids(buffer.Take().choices.at(0).tokens), ElementsAre(3));
}

TEST(OutputBufferTest, OneTokenTooManyDropsEverything) {
  OutputBuffer buffer(2);
  buffer.AddPromptComputed();
  EXPECT_TRUE(buffer.AddToken(0, Token(1)));
  EXPECT_TRUE(buffer.AddToken(0, Token(2)));
  EXPECT_FALSE(buffer.AddToken(0, Token(3)));
  EXPECT_FALSE(buffer.AddToken(0, Token(4)));
  buffer.AddFinish(0, FinishInfo());
  EXPECT_FALSE(buffer.ready());
  EXPECT_THAT(buffer.Take().choices, IsEmpty());
}

TEST(OutputBufferTest, ChoicesShareTheBound) {
  OutputBuffer buffer(3);
  buffer.AddPromptComputed();
  EXPECT_TRUE(buffer.AddToken(2, Token(1)));
  EXPECT_TRUE(buffer.AddToken(0, Token(2)));
  EXPECT_TRUE(buffer.AddToken(2, Token(3)));
  const PendingOutput output = buffer.Take();
  ASSERT_THAT(output.choices, SizeIs(3));
  EXPECT_THAT(Ids(output.choices[0].tokens), ElementsAre(2));
  EXPECT_THAT(output.choices[1].tokens, IsEmpty());
  EXPECT_THAT(Ids(output.choices[2].tokens), ElementsAre(1, 3));
  for (uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(buffer.AddToken(i, Token(i)));
  EXPECT_FALSE(buffer.AddToken(1, Token(9)));
}

TEST(OutputBufferTest, TakingMakesRoom) {
  OutputBuffer buffer(2);
  buffer.AddPromptComputed();
  for (uint32_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(buffer.AddToken(0, Token(i)));
    EXPECT_TRUE(buffer.AddToken(0, Token(i)));
    EXPECT_THAT(buffer.Take().choices.at(0).tokens, SizeIs(2));
  }
}

TEST(OutputBufferTest, FinishIsReadyEvenWithoutPrompt) {
  OutputBuffer buffer(2);
  FinishInfo info;
  info.reason = FinishReason::kDeadline;
  buffer.AddFinish(0, info);
  EXPECT_TRUE(buffer.ready());
  const PendingOutput output = buffer.Take();
  EXPECT_FALSE(output.prompt_computed);
  ASSERT_THAT(output.choices, SizeIs(1));
  ASSERT_TRUE(output.choices[0].finish.has_value());
  EXPECT_EQ(output.choices[0].finish->reason, FinishReason::kDeadline);
  EXPECT_FALSE(buffer.ready());
}

}  // namespace
}  // namespace winnow
