#include "model/tokenizer/split.h"

#include <algorithm>
#include <string>
#include <utility>

#include "model/tokenizer/concat.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using Spans = std::vector<MatchSpan>;

// Joins each span to the one before it where `joins(previous span was a match, this one is)`.
template <typename Joins>
void JoinForward(Joins joins, Spans* spans) {
  size_t kept = 0;
  bool previous_match = false;
  for (const MatchSpan span : *spans) {
    if (kept > 0 && joins(previous_match, span.is_match)) {
      (*spans)[kept - 1].end = span.end;
    } else {
      (*spans)[kept++] = span;
    }
    previous_match = span.is_match;
  }
  spans->resize(kept);
}

// A match joins the span after it, unless that is a match too.
void JoinNext(Spans* spans) {
  Spans backward;
  bool next_match = false;
  for (auto it = spans->rbegin(); it != spans->rend(); ++it) {
    if (it->is_match && !next_match && !backward.empty()) {
      backward.back().begin = it->begin;
    } else {
      backward.push_back(*it);
    }
    next_match = it->is_match;
  }
  spans->assign(backward.rbegin(), backward.rend());
}

}  // namespace

absl::StatusOr<SplitBehavior> ReadSplitBehavior(JsonObject* object, std::string_view key) {
  static constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  WINNOW_ASSIGN_OR_RETURN(const std::string name, object->String(key));
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  return object->Error(key, "unknown behavior \"", name, "\"");
}

void ApplySplit(SplitBehavior behavior, Spans* spans) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      std::erase_if(*spans, [](const MatchSpan& span) { return span.is_match; });
      break;
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kContiguous:
      JoinForward([](bool previous, bool current) { return previous == current; }, spans);
      break;
    case SplitBehavior::kMergedWithPrevious:
      JoinForward([](bool previous, bool current) { return current && !previous; }, spans);
      break;
    case SplitBehavior::kMergedWithNext:
      JoinNext(spans);
      break;
  }
  std::erase_if(*spans, [](const MatchSpan& span) { return span.begin == span.end; });
}

void CutAtChars(std::string_view text, absl::FunctionRef<bool(char32_t)> matches, Spans* spans) {
  spans->clear();
  size_t covered = 0;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = DecodeUtf8(text, i);
    if (matches(c.code)) {
      if (covered < i) spans->push_back({covered, i, false});
      spans->push_back({i, i + c.num_bytes, true});
      covered = i + c.num_bytes;
    }
    i += c.num_bytes;
  }
  if (covered < text.size()) spans->push_back({covered, text.size(), false});
}

}  // namespace winnow
