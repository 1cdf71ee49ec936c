#include "kernels/check.h"

#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(CheckTest, PassesSilentlyAndEvaluatesOnce) {
  int calls = 0;
  WINNOW_CHECK(++calls == 1) << "not printed";
  EXPECT_EQ(calls, 1);
}

TEST(CheckTest, IsOneStatement) {
  bool reached_else = false;
  if (false)
    WINNOW_CHECK(true);
  else
    reached_else = true;
  EXPECT_TRUE(reached_else);
}

TEST(CheckDeathTest, NamesFileConditionAndMessage) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const int page = 7;
  EXPECT_DEATH(WINNOW_CHECK(page < 3) << "page " << page << " of 3",
               "check_test.cc:[0-9]+: CHECK failed: page < 3 page 7 of 3");
}

}  // namespace
}  // namespace winnow
