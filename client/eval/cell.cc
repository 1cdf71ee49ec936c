#include "client/eval/cell.h"

#include "absl/strings/str_cat.h"

namespace winnow::eval {

int NumQuestions(const Cell& cell) { return cell.task == Task::kMultiQuery ? kNumQueries : 1; }

const char* NameOf(Task task) {
  switch (task) {
    case Task::kSingle:
      return "single";
    case Task::kMultiKey:
      return "multi_key";
    case Task::kMultiQuery:
      return "multi_query";
    case Task::kMultiValue:
      return "multi_value";
    case Task::kDistractors:
      return "distractors";
  }
  return "";
}

std::optional<Task> FindTask(absl::string_view name) {
  for (const Task task : kAllTasks) {
    if (name == NameOf(task)) return task;
  }
  return std::nullopt;
}

std::string Describe(const Cell& cell) {
  if (cell.depth.has_value()) return absl::StrCat(NameOf(cell.task), ", depth ", *cell.depth, "%");
  const char* unit = cell.task == Task::kMultiValue ? " codes" : " facts";
  return absl::StrCat(NameOf(cell.task), ", ", cell.facts, unit);
}

int64_t LeastTokens(const Cell& cell) {
  return kFactTokens * cell.facts * 3 / 2 + kQuestionTokens * NumQuestions(cell);
}

}  // namespace winnow::eval
