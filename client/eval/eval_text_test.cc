#include "client/eval/eval_text.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Counts words: near enough to tokens for these tests.
absl::StatusOr<int64_t> CountWords(const std::string& text) {
  return 1 + std::count(text.begin() + 1, text.end(), ' ');
}

EvalText Make(const Cell& cell, int64_t index = 0, uint64_t seed = 1) {
  const auto made = MakeEvalText(seed, cell, index, CountWords);
  EXPECT_TRUE(made.ok()) << made.status();
  EXPECT_NEAR(static_cast<double>(*CountWords(made->text)), static_cast<double>(cell.tokens), 125);
  return *made;
}

int CountOf(const std::string& part, const std::string& text) {
  int count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(EvalTextTest, ASingleFactStandsAtItsDepth) {
  for (const int depth : {0, 25, 50, 75, 100}) {
    const EvalText made = Make({Task::kSingle, 1000, depth});
    ASSERT_THAT(made.questions, SizeIs(1));
    ASSERT_THAT(made.questions[0].codes, SizeIs(1));
    const std::string& code = made.questions[0].codes[0];
    const size_t at = made.text.find(absl::StrCat(" is ", code, "."));
    ASSERT_NE(at, made.text.npos);
    EXPECT_NEAR(100.0 * static_cast<double>(at) / static_cast<double>(made.text.size()), depth, 3);
    EXPECT_EQ(CountOf("The code of", made.text), 1);
    EXPECT_THAT(made.questions[0].ending, StartsWith(" Question: what is the code of the "));
  }
}

TEST(EvalTextTest, OneOfManyFactsIsAskedAndStandsAnywhere) {
  const Cell cell = {.task = Task::kMultiKey, .tokens = 1500, .facts = 16};
  int early = 0;
  for (int i = 0; i < 40; ++i) {
    const EvalText made = Make(cell, i);
    EXPECT_EQ(CountOf("The code of", made.text), 16);
    const size_t at = made.text.find(absl::StrCat(" is ", made.questions[0].codes[0], "."));
    ASSERT_NE(at, made.text.npos);
    if (at < made.text.size() / 2) ++early;
  }
  EXPECT_GT(early, 8);
  EXPECT_LT(early, 32);
}

TEST(EvalTextTest, QuestionsFollowRightAnswers) {
  const EvalText made =
      Make({.task = Task::kMultiQuery, .tokens = 1500, .facts = kMultiQueryFacts});
  ASSERT_THAT(made.questions, SizeIs(kNumQueries));
  EXPECT_EQ(CountOf("The code of", made.text), kMultiQueryFacts);
  for (int i = 1; i < kNumQueries; ++i) {
    const Question& last = made.questions[i - 1];
    EXPECT_THAT(made.questions[i].ending,
                StartsWith(absl::StrCat(last.ending, " ", last.codes[0], ". Question: ")));
    EXPECT_EQ(CountOf("Question", made.questions[i].ending), i + 1);
    EXPECT_THAT(made.text, HasSubstr(absl::StrCat(" is ", made.questions[i].codes[0], ".")));
  }
}

TEST(EvalTextTest, OneNameHasSeveralCodes) {
  const EvalText made = Make({.task = Task::kMultiValue, .tokens = 800, .facts = kMultiValueCodes});
  ASSERT_THAT(made.questions, SizeIs(1));
  EXPECT_THAT(made.questions[0].codes, SizeIs(kMultiValueCodes));
  for (const std::string& code : made.questions[0].codes) {
    EXPECT_THAT(made.text, HasSubstr(absl::StrCat(" is ", code, ".")));
  }
  EXPECT_EQ(CountOf("The code of", made.text), kMultiValueCodes);
}

TEST(EvalTextTest, DistractorsAreLikeTheAskedFactAndAreNotIt) {
  const EvalText made =
      Make({.task = Task::kDistractors, .tokens = 1500, .facts = kNumDistractors});
  const std::string ending = made.questions[0].ending;
  const size_t begin = ending.find("of the ") + 7;
  const std::string name = ending.substr(begin, ending.find('?') - begin);
  EXPECT_EQ(CountOf(absl::StrCat("The code of the ", name, " is "), made.text), 1);
  EXPECT_EQ(CountOf("The code of the ", made.text), 1 + kNumDistractors / 2);
  const std::string adjective = name.substr(0, name.find(' '));
  const std::string noun = name.substr(name.find(' ') + 1);
  EXPECT_GE(CountOf(absl::StrCat("The code of the ", adjective, " "), made.text),
            1 + kNumDistractors / 4);
  EXPECT_EQ(CountOf(absl::StrCat(" ", adjective, " days near the ", noun, "."), made.text),
            kNumDistractors / 2);
}

TEST(EvalTextTest, FollowsFromSeedCellAndIndex) {
  const Cell cell = {Task::kSingle, 600, 50};
  EXPECT_EQ(Make(cell, 3).text, Make(cell, 3).text);
  std::set<std::string> texts = {Make(cell, 3).text, Make(cell, 4).text, Make(cell, 3, 2).text,
                                 Make({Task::kSingle, 600, 51}, 3).text};
  EXPECT_THAT(texts, SizeIs(4));
}

TEST(EvalTextTest, PassesTheCountersErrorOn) {
  const auto made = MakeEvalText(
      1, {Task::kSingle, 600, 0}, 0,
      [](const std::string&) -> absl::StatusOr<int64_t> { return absl::UnavailableError("gone"); });
  EXPECT_EQ(made.status(), absl::UnavailableError("gone"));
}

}  // namespace
}  // namespace winnow::eval
