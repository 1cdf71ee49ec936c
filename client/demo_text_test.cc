#include "client/demo_text.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace winnow {
namespace {

// Counts words: near enough to tokens for these tests.
absl::StatusOr<int64_t> CountWords(const std::string& text) {
  return 1 + std::count(text.begin() + 1, text.end(), ' ');
}

TEST(DemoTextTest, EveryFactStandsWhereItSays) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto demo = MakeDemoText(seed, 4000, 8, CountWords);
    ASSERT_TRUE(demo.ok()) << demo.status();
    ASSERT_EQ(demo->facts.size(), 8u);
    EXPECT_EQ(*CountWords(demo->text), demo->num_tokens);
    EXPECT_GE(demo->num_tokens, 4000);
    EXPECT_LT(demo->num_tokens, 4030);
    for (const DemoFact& fact : demo->facts) {
      ASSERT_EQ(fact.code.size(), 5u);
      const size_t at = demo->text.find("The code of the " + fact.name + " is " + fact.code + ".");
      ASSERT_NE(at, std::string::npos) << fact.name;
      EXPECT_EQ(std::count(demo->text.begin(), demo->text.begin() + at, ' '), fact.position);
      EXPECT_LT(fact.position, demo->num_tokens / 2 + 30);
    }
    EXPECT_LT(demo->facts[0].position, kFirstFactToken + 30);
    EXPECT_EQ(demo->question,
              " Question: what is the code of the " + demo->facts[0].name + "? Answer:");
  }
}

TEST(DemoTextTest, FollowsFromTheSeed) {
  const auto a = MakeDemoText(3, 1000, 2, CountWords), b = MakeDemoText(3, 1000, 2, CountWords);
  const auto c = MakeDemoText(4, 1000, 2, CountWords);
  EXPECT_EQ(a->text, b->text);
  EXPECT_NE(a->text, c->text);
}

TEST(DemoTextTest, PassesTheCountersErrorOn) {
  const auto demo = MakeDemoText(1, 1000, 1, [](const std::string&) -> absl::StatusOr<int64_t> {
    return absl::UnavailableError("gone");
  });
  EXPECT_EQ(demo.status(), absl::UnavailableError("gone"));
}

}  // namespace
}  // namespace winnow
