#include "server/sequence_limit.h"

#include "gtest/gtest.h"
#include "model/state_plan.h"

namespace winnow {
namespace {

// One layer of attention over everything (or over a window), 2 heads of 8.
ModelConfig Config(std::optional<int64_t> window) {
  AttentionConfig attention;
  attention.num_heads = attention.num_kv_heads = 2;
  attention.head_dim = 8;
  attention.window_size = window;
  ModelConfig config;
  config.hidden_size = 16;
  config.vocab_size = 32;
  config.layers = {{attention}};
  return config;
}

int64_t Fitting(int64_t tokens, int64_t budget_bytes, int64_t max_sequences) {
  const auto spec =
      StateSpec::Create(Config({}), {.page_tokens = 16, .max_sequence_tokens = tokens});
  const auto plan = PlanState(*spec, budget_bytes, max_sequences);
  return plan.ok() ? plan->sequences_for_sure : 0;
}

TEST(SequenceLimitTest, GrowingKinds) {
  EXPECT_TRUE(GrowsWithLength(Config({})));
  EXPECT_FALSE(GrowsWithLength(Config(64)));
  EXPECT_FALSE(GrowsWithLength({}));
}

TEST(SequenceLimitTest, GreatestLengthOfWhichFourFit) {
  constexpr int64_t kBudget = 4 << 20;
  const auto limit = ChooseSequenceLimit(Config({}), {.page_tokens = 16}, kBudget, 256);
  ASSERT_TRUE(limit.ok()) << limit.status();
  // A token is 128 bytes, so a quarter of the memory is 8192 tokens, less what slots take.
  EXPECT_GT(*limit, 6000);
  EXPECT_LT(*limit, 8192);
  EXPECT_GE(Fitting(*limit, kBudget, 256), 4);
  EXPECT_LT(Fitting(*limit + 1, kBudget, 256), 4);
}

TEST(SequenceLimitTest, FewerSequencesLeaveLongerOnes) {
  constexpr int64_t kBudget = 4 << 20;
  const auto one = ChooseSequenceLimit(Config({}), {.page_tokens = 16}, kBudget, 1);
  const auto four = ChooseSequenceLimit(Config({}), {.page_tokens = 16}, kBudget, 256);
  EXPECT_GT(*one, 3 * *four);
}

TEST(SequenceLimitTest, SmallMemoryServesOne) {
  constexpr int64_t kBudget = 256 << 10;  // four times 1024 tokens would need 512 KiB
  const auto limit = ChooseSequenceLimit(Config({}), {.page_tokens = 16}, kBudget, 256);
  ASSERT_TRUE(limit.ok()) << limit.status();
  EXPECT_GT(*limit, 1000);
  EXPECT_EQ(Fitting(*limit, kBudget, 256), 1);
}

TEST(SequenceLimitTest, TooSmallIsAnError) {
  EXPECT_EQ(ChooseSequenceLimit(Config({}), {.page_tokens = 16}, 2048, 256).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(SequenceLimitTest, LargeMemoryStopsAtAMillion) {
  EXPECT_EQ(*ChooseSequenceLimit(Config({}), {.page_tokens = 16}, int64_t{1} << 40, 256), 1 << 20);
}

}  // namespace
}  // namespace winnow
