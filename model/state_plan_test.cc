#include "model/state_plan.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

StateSpec Spec(bool grows) {
  ModelConfig config;
  config.layers = {
      {GatedDeltaConfig{
          .num_heads = 2, .num_v_heads = 2, .head_dim = 8, .value_dim = 8, .conv_size = 4}},
      {AttentionConfig{.num_heads = 2, .num_kv_heads = 2, .head_dim = 16}}};
  if (!grows) std::get<AttentionConfig>(config.layers[1].mixer).window_size = 33;
  auto spec = StateSpec::Create(config, {.page_tokens = 8, .max_sequence_tokens = 1000});
  WINNOW_CHECK(spec.ok()) << spec.status();
  return *std::move(spec);
}

TEST(StatePlanTest, EveryPlanFitsItsBudgetAndItsPromise) {
  std::mt19937_64 random(3);
  for (const bool grows : {false, true}) {
    const StateSpec spec = Spec(grows);
    int planned = 0;
    for (int i = 0; i < 500; ++i) {
      const int64_t budget = random() % (int64_t{1} << (10 + random() % 24));
      const int64_t max_sequences = 1 + random() % 300;
      const auto plan = PlanState(spec, budget, max_sequences);
      if (!plan.ok()) {
        EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
        continue;
      }
      ++planned;
      EXPECT_LE(plan->total_bytes, budget);
      EXPECT_LE(plan->num_slots, max_sequences);
      EXPECT_GE(plan->sequences_for_sure, 1);
      EXPECT_LE(plan->sequences_for_sure, plan->num_slots);
      EXPECT_LE(plan->sequences_for_sure * *plan->max_pages_per_sequence, plan->num_pages);
    }
    EXPECT_GT(planned, 100);
  }
}

TEST(StatePlanTest, TheSmallestBudgetThatIsAcceptedHoldsOneSequence) {
  const StateSpec spec = Spec(false);
  const int64_t needed = 2 * spec.slot_total_bytes() + (*spec.MaxPages() + 1) * spec.page_bytes();
  EXPECT_EQ(PlanState(spec, needed, 10)->sequences_for_sure, 1);
  const absl::Status status = PlanState(spec, needed - 1, 10).status();
  EXPECT_THAT(status.ToString(), testing::HasSubstr(std::to_string(needed)));
  EXPECT_THAT(status.ToString(), testing::HasSubstr(std::to_string(needed - 1)));
}

TEST(StatePlanTest, SaysWhetherMemoryGrows) {
  EXPECT_THAT(DescribePlan(Spec(false), *PlanState(Spec(false), 1 << 24, 4)),
              testing::AllOf(testing::HasSubstr("at any length"),
                             testing::HasSubstr("4 sequences fit for sure")));
  EXPECT_THAT(DescribePlan(Spec(true), *PlanState(Spec(true), 1 << 24, 4)),
              testing::HasSubstr("grows with its length"));
}

}  // namespace
}  // namespace winnow
