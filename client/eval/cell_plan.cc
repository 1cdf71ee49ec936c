#include "client/eval/cell_plan.h"

#include <cstddef>

namespace winnow::eval {
namespace {

void AddSingle(const CellLists& lists, int64_t texts, std::vector<PlannedCell>* plan) {
  const auto num_depths = static_cast<int64_t>(lists.depths.size());
  for (const int64_t tokens : lists.lengths) {
    for (int64_t i = 0; i < num_depths; ++i) {
      const int depth = lists.depths[static_cast<size_t>(i)];
      plan->push_back({{.task = Task::kSingle, .tokens = tokens, .depth = depth},
                       texts / num_depths + (i < texts % num_depths ? 1 : 0)});
    }
  }
}

// How many facts a task's texts have.
std::vector<int> FactsOf(Task task, const CellLists& lists) {
  if (task == Task::kMultiKey) return lists.facts;
  if (task == Task::kMultiQuery) return {kMultiQueryFacts};
  return {task == Task::kMultiValue ? kMultiValueCodes : kNumDistractors};
}

}  // namespace

std::vector<PlannedCell> PlanCells(const CellLists& lists, int64_t texts) {
  std::vector<PlannedCell> plan;
  for (const Task task : lists.tasks) {
    if (task == Task::kSingle) {
      AddSingle(lists, texts, &plan);
      continue;
    }
    for (const int64_t tokens : lists.many_lengths) {
      for (const int facts : FactsOf(task, lists)) {
        plan.push_back({{.task = task, .tokens = tokens, .facts = facts}, texts});
      }
    }
  }
  return plan;
}

int64_t PromptTokens(const std::vector<PlannedCell>& plan) {
  int64_t tokens = 0;
  for (const PlannedCell& planned : plan) {
    tokens += planned.texts * planned.cell.tokens * NumQuestions(planned.cell);
  }
  return tokens;
}

}  // namespace winnow::eval
