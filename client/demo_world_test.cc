#include "client/demo_world.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

absl::StatusOr<int64_t> CountWords(const std::string& text) {
  return 1 + std::count(text.begin() + 1, text.end(), ' ');
}

TEST(DemoWorldTest, FollowsFromTheSeed) {
  DemoWorld a(3), b(3), c(4);
  for (int i = 0; i < 20; ++i) {
    const std::string sentence = a.Filler();
    EXPECT_EQ(sentence, b.Filler());
    EXPECT_NE(sentence, c.Filler());
    EXPECT_THAT(sentence, MatchesRegex("[A-Z].*[.]"));
  }
  EXPECT_THAT(a.Name(), MatchesRegex("[a-z]+ [a-z]+"));
  EXPECT_THAT(a.Code(), MatchesRegex("[0-9]+"));
  EXPECT_EQ(a.Code().size(), 5u);
}

TEST(WeaveTest, SentencesStandWhereTheyShall) {
  DemoWorld world(1);
  const std::vector<PlacedSentence> placed = {{0, "One."}, {50, "Two."}, {50, "Three."}};
  const auto woven = Weave(placed, 200, CountWords, &world);
  ASSERT_TRUE(woven.ok()) << woven.status();
  EXPECT_THAT(woven->text, StartsWith("One. "));
  EXPECT_EQ(*CountWords(woven->text), woven->num_tokens);
  EXPECT_GE(woven->num_tokens, 200);
  EXPECT_LT(woven->num_tokens, 230);
  EXPECT_EQ(woven->positions[0], 0);
  EXPECT_GE(woven->positions[1], 50);
  EXPECT_LT(woven->positions[1], 80);
  EXPECT_EQ(woven->positions[2], woven->positions[1] + 1);
}

TEST(WeaveTest, WhatIsPlacedBeyondTheEndStandsAtTheEnd) {
  DemoWorld world(1);
  const auto woven = Weave({{1000, "One."}, {2000, "Two."}}, 30, CountWords, &world);
  ASSERT_TRUE(woven.ok()) << woven.status();
  EXPECT_THAT(woven->text, EndsWith(". One. Two."));
  EXPECT_THAT(woven->positions, ElementsAre(woven->num_tokens - 2, woven->num_tokens - 1));
}

}  // namespace
}  // namespace winnow
