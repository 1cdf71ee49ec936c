#include "client/eval/word_counts.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

using ::testing::ElementsAre;

TEST(WordCountsTest, AsksForEachWordOnce) {
  std::vector<std::string> asked;
  WordCounts counts([&](const std::string& word) -> absl::StatusOr<int64_t> {
    asked.push_back(word);
    return word.size();
  });
  EXPECT_EQ(*counts.Count("The cat saw the cat."), 20);
  EXPECT_EQ(*counts.Count(" saw the cat"), 12);
  EXPECT_THAT(asked, ElementsAre("The", " cat", " saw", " the", " cat."));
  EXPECT_EQ(*counts.Count(""), 0);
}

TEST(WordCountsTest, PassesErrorsOn) {
  WordCounts counts(
      [](const std::string&) -> absl::StatusOr<int64_t> { return absl::UnavailableError("gone"); });
  EXPECT_EQ(counts.Count("a b").status(), absl::UnavailableError("gone"));
}

}  // namespace
}  // namespace winnow::eval
