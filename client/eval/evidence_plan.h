// What is asked for evidence: enough for a first look, or for claims.
#ifndef WINNOW_CLIENT_EVAL_EVIDENCE_PLAN_H_
#define WINNOW_CLIENT_EVAL_EVIDENCE_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/eval/cell_plan.h"

namespace winnow::eval {

struct EvidencePlan {
  std::vector<PlannedCell> whole;     // what checkpoints as they were trained are asked
  std::vector<PlannedCell> ablation;  // what the others are asked, a part of it
};

// Texts for each of the table's cells in full: 200 right ones of 200 say more than 98%.
inline constexpr int64_t kFullTexts = 200;
// Prompt tokens that a quick run sends at most, timing included.
inline constexpr int64_t kQuickTokens = 4'000'000;

// Quick: as many texts as the tokens allow, but at least one for each depth, so that dozens of
// checkpoints take more. Full: kFullTexts, and more lengths.
EvidencePlan PlanEvidence(bool full, size_t num_checkpoints, size_t num_ablations);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVIDENCE_PLAN_H_
