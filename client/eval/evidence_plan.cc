#include "client/eval/evidence_plan.h"

#include <algorithm>

#include "client/eval/eval_run.h"

namespace winnow::eval {
namespace {

// Texts are some tokens longer than asked for: by their last sentence, and by facts behind it.
constexpr double kSpare = 0.97;

CellLists WholeLists(bool full) {
  CellLists lists;
  lists.lengths = {512, 2048, 8192};
  if (full) {
    lists.lengths = {512, 1024, 2048, 4096, 8192, 16384};
    lists.many_lengths = {2048, 8192};
  }
  return lists;
}

// What decides about the kept set: lengths beyond training's, and the number of facts.
CellLists AblationLists() {
  CellLists lists;
  lists.tasks = {Task::kSingle, Task::kMultiKey};
  lists.lengths = {2048, 8192};
  return lists;
}

EvidencePlan WithTexts(bool full, int64_t texts) {
  return {PlanCells(WholeLists(full), texts), PlanCells(AblationLists(), texts)};
}

// Of one variant's requests that are timed alone.
int64_t TimedTokens(const CellLists& lists) {
  return kTimedRequests * *std::max_element(lists.lengths.begin(), lists.lengths.end());
}

}  // namespace

EvidencePlan PlanEvidence(bool full, size_t num_checkpoints, size_t num_ablations) {
  if (full) return WithTexts(full, kFullTexts);
  const auto of_all = [&](int64_t checkpoint, int64_t ablation) {
    return static_cast<int64_t>(num_checkpoints) * checkpoint +
           static_cast<int64_t>(num_ablations) * ablation;
  };
  const CellLists whole = WholeLists(full);
  const int64_t timed = of_all(TimedTokens(whole), TimedTokens(AblationLists()));
  // A round has as many texts as there are depths, so that each depth has one.
  const auto num_depths = static_cast<int64_t>(whole.depths.size());
  const EvidencePlan round = WithTexts(full, num_depths);
  const int64_t round_tokens = of_all(PromptTokens(round.whole), PromptTokens(round.ablation));
  const double rounds =
      kSpare * static_cast<double>(kQuickTokens - timed) / static_cast<double>(round_tokens);
  const auto texts = static_cast<int64_t>(rounds * static_cast<double>(num_depths));
  return WithTexts(full, std::clamp(texts, num_depths, kFullTexts));
}

}  // namespace winnow::eval
