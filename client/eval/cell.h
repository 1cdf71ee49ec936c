// Cell: one kind of prompt at one length: a cell of the evaluation's table.
#ifndef WINNOW_CLIENT_EVAL_CELL_H_
#define WINNOW_CLIENT_EVAL_CELL_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace winnow::eval {

// The tasks follow RULER (arXiv 2404.06654), in the demo model's world.
enum class Task {
  kSingle,       // one fact at a depth
  kMultiKey,     // many facts, one of them asked
  kMultiQuery,   // many facts, four of them asked one after the other
  kMultiValue,   // one name with several codes, any of which is right
  kDistractors,  // one fact among other codes: of similar names, and numbers that are no codes
};

inline constexpr Task kAllTasks[] = {Task::kSingle, Task::kMultiKey, Task::kMultiQuery,
                                     Task::kMultiValue, Task::kDistractors};
// "single", "multi_key", "multi_query", "multi_value", "distractors".
const char* NameOf(Task task);
// None: no task has this name.
std::optional<Task> FindTask(absl::string_view name);

// How many facts a text of the tasks has whose number of facts is no choice; kMultiValue: codes;
// kDistractors: other codes.
inline constexpr int kMultiQueryFacts = 16, kMultiValueCodes = 4, kNumDistractors = 16;
inline constexpr int kNumQueries = 4;  // of kMultiQuery

// Tokens of a sentence with a code, and of a question with its answer: about, and rather more.
inline constexpr int64_t kFactTokens = 16, kQuestionTokens = 30;

struct Cell {
  Task task = Task::kSingle;
  int64_t tokens = 0;             // of the prompt, about
  std::optional<int> depth = {};  // of kSingle: percent of the text before the fact
  int facts = 1;                  // sentences with codes

  bool operator==(const Cell& other) const = default;
};

int NumQuestions(const Cell& cell);

// "single, depth 25%", "multi_key, 16 facts".
std::string Describe(const Cell& cell);

// The shortest prompt in which a cell's facts have room, with half as much filler among them.
int64_t LeastTokens(const Cell& cell);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_CELL_H_
