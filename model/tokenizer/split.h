// What becomes of the matches of a pattern when a text is split at them.
//
// "the-final--countdown" split at '-':
//   removed               the, final, countdown
//   isolated              the, -, final, -, -, countdown
//   merged_with_previous  the-, final-, -, countdown
//   merged_with_next      the, -final, -, -countdown
//   contiguous            the, -, final, --, countdown
//
// Pure functions, safe from any thread.
#ifndef WINNOW_MODEL_TOKENIZER_SPLIT_H_
#define WINNOW_MODEL_TOKENIZER_SPLIT_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"
#include "model/tokenizer/regex.h"

namespace winnow {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Reads a behaviour as tokenizer.json names it ("MergedWithNext").
absl::StatusOr<SplitBehavior> ReadSplitBehavior(JsonObject* object, std::string_view key);

// Turns the cut of a text (see Regex::Cut) into its pieces: merges spans and drops removed and
// empty ones. What is left is in order; `is_match` has no meaning any more.
void ApplySplit(SplitBehavior behavior, std::vector<MatchSpan>* spans);

// Cuts `text` at every character that `matches`, each a match of its own. REQUIRES: text is valid
// UTF-8.
void CutAtChars(std::string_view text, absl::FunctionRef<bool(char32_t)> matches,
                std::vector<MatchSpan>* spans);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_SPLIT_H_
