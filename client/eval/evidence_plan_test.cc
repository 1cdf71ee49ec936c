#include "client/eval/evidence_plan.h"

#include <algorithm>
#include <map>

#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

int64_t Longest(const std::vector<PlannedCell>& plan) {
  int64_t longest = 0;
  for (const PlannedCell& planned : plan) longest = std::max(longest, planned.cell.tokens);
  return longest;
}

TEST(EvidencePlanTest, QuickKeepsToItsTokens) {
  for (const auto& [checkpoints, ablations] : {std::pair{1, 7}, {5, 7}, {1, 0}}) {
    const EvidencePlan plan = PlanEvidence(false, checkpoints, ablations);
    const int64_t asked =
        checkpoints * PromptTokens(plan.whole) + ablations * PromptTokens(plan.ablation);
    const int64_t timed =
        3 * (checkpoints * Longest(plan.whole) + ablations * Longest(plan.ablation));
    EXPECT_LE(asked + timed, kQuickTokens);
    EXPECT_GE(asked + timed, kQuickTokens / 10 * 9);
  }
}

TEST(EvidencePlanTest, QuickAsksAtEveryDepthHoweverManyThereAre) {
  for (const PlannedCell& planned : PlanEvidence(false, 100, 100).whole) {
    EXPECT_GE(planned.texts, 1);
  }
}

TEST(EvidencePlanTest, FullHasTwoHundredTextsForEachFigure) {
  const EvidencePlan plan = PlanEvidence(true, 5, 7);
  for (const auto* part : {&plan.whole, &plan.ablation}) {
    std::map<int64_t, int64_t> single;
    for (const auto& [cell, texts] : *part) {
      if (cell.task == Task::kSingle) {
        single[cell.tokens] += texts;
      } else {
        EXPECT_EQ(texts, kFullTexts);
      }
    }
    for (const auto& [tokens, texts] : single) EXPECT_EQ(texts, kFullTexts) << tokens;
  }
  EXPECT_EQ(Longest(plan.whole), 16384);
}

TEST(EvidencePlanTest, AblationsAreAskedAPartOfTheWhole) {
  for (const bool full : {false, true}) {
    const EvidencePlan plan = PlanEvidence(full, 1, 7);
    for (const PlannedCell& planned : plan.ablation) {
      EXPECT_NE(std::find(plan.whole.begin(), plan.whole.end(), planned), plan.whole.end());
    }
    for (const PlannedCell& planned : plan.whole) {
      EXPECT_GE(planned.cell.tokens, LeastTokens(planned.cell));
    }
  }
}

}  // namespace
}  // namespace winnow::eval
