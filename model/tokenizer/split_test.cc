#include "model/tokenizer/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace winnow {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Split(std::string_view text, SplitBehavior behavior) {
  std::vector<MatchSpan> spans;
  CutAtChars(
      text, [](char32_t c) { return c == '-'; }, &spans);
  ApplySplit(behavior, &spans);
  std::vector<std::string> pieces;
  for (const MatchSpan& span : spans)
    pieces.emplace_back(text.substr(span.begin, span.end - span.begin));
  return pieces;
}

TEST(SplitTest, Behaviors) {
  const std::string text = "the-final--countdown";
  EXPECT_THAT(Split(text, SplitBehavior::kRemoved), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(Split(text, SplitBehavior::kIsolated),
              ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(Split(text, SplitBehavior::kMergedWithPrevious),
              ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(Split(text, SplitBehavior::kMergedWithNext),
              ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(Split(text, SplitBehavior::kContiguous),
              ElementsAre("the", "-", "final", "--", "countdown"));
}

TEST(SplitTest, MatchesAtTheEnds) {
  EXPECT_THAT(Split("-a-", SplitBehavior::kRemoved), ElementsAre("a"));
  EXPECT_THAT(Split("-a-", SplitBehavior::kMergedWithPrevious), ElementsAre("-", "a-"));
  EXPECT_THAT(Split("-a-", SplitBehavior::kMergedWithNext), ElementsAre("-a", "-"));
  EXPECT_THAT(Split("--", SplitBehavior::kRemoved), IsEmpty());
  EXPECT_THAT(Split("--", SplitBehavior::kContiguous), ElementsAre("--"));
  EXPECT_THAT(Split("", SplitBehavior::kIsolated), IsEmpty());
  EXPECT_THAT(Split("é", SplitBehavior::kMergedWithNext), ElementsAre("é"));
}

}  // namespace
}  // namespace winnow
