// Which cells an evaluation asks, and how many texts of each.
#ifndef WINNOW_CLIENT_EVAL_CELL_PLAN_H_
#define WINNOW_CLIENT_EVAL_CELL_PLAN_H_

#include <cstdint>
#include <iterator>
#include <vector>

#include "client/eval/cell.h"

namespace winnow::eval {

// The table's rows are all that these lists make with each other. None is empty, but for those of
// tasks that are not asked.
struct CellLists {
  std::vector<Task> tasks = {std::begin(kAllTasks), std::end(kAllTasks)};
  std::vector<int64_t> lengths = {512, 1024, 2048, 4096};  // tokens; of kSingle
  std::vector<int> depths = {0, 25, 50, 75, 100};          // percent; of kSingle
  std::vector<int64_t> many_lengths = {2048};              // tokens; of the other tasks
  std::vector<int> facts = {8, 16, 32, 64};                // of kMultiKey
};

struct PlannedCell {
  Cell cell;
  int64_t texts = 0;

  bool operator==(const PlannedCell& other) const = default;
};

// `texts` for each task, length and number of facts: single facts are dealt to the depths in turn.
// REQUIRES: texts >= the number of depths.
std::vector<PlannedCell> PlanCells(const CellLists& lists, int64_t texts);

// Prompt tokens that asking all of them takes, about: each question sends its text.
int64_t PromptTokens(const std::vector<PlannedCell>& plan);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_CELL_PLAN_H_
