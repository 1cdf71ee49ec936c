#include "client/flag_values.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(StopTextTest, EscapesAreLineBreakTabAndBackslash) {
  EXPECT_EQ(*ParseStopText("END, [x] \"y\" ä"), "END, [x] \"y\" ä");
  EXPECT_EQ(*ParseStopText(R"(\n\nQ:\t)"), "\n\nQ:\t");
  EXPECT_EQ(*ParseStopText(R"(\\n)"), R"(\n)") << "a backslash, then an n";
  EXPECT_EQ(*ParseStopText(R"(\\\n)"), "\\\n");
}

TEST(StopTextTest, OtherEscapesAreRefusedByName) {
  EXPECT_EQ(ParseStopText(R"(a\qb)").status().message(),
            R"(--stop=a\qb: \q is no escape; write \n, \t, or \\ for a backslash)");
  EXPECT_THAT(std::string(ParseStopText("a\\").status().message()),
              HasSubstr("--stop=a\\: \\ is no escape"));
  EXPECT_EQ(ParseStopText("").status().message(), "--stop=: write a text of one byte or more");
}

TEST(LogitBiasTest, EntriesAddUp) {
  std::map<uint32_t, float> biases;
  ASSERT_TRUE(ParseLogitBias("17:-2.5,4294967295:100", &biases).ok());
  ASSERT_TRUE(ParseLogitBias("0:1e-3", &biases).ok());
  EXPECT_THAT(biases, ElementsAre(Pair(0, 1e-3f), Pair(17, -2.5f), Pair(4294967295, 100)));
}

TEST(LogitBiasTest, ErrorsNameTheEntry) {
  std::map<uint32_t, float> biases;
  for (const char* wrong :
       {"", "5", "5:", ":1", "x:1", "-1:1", "4294967296:1", "1:y", "1:2:3", "1:2,", "1.5:1"}) {
    const std::string message(ParseLogitBias(wrong, &biases).message());
    EXPECT_THAT(message, HasSubstr(std::string("--logit_bias=") + wrong + ": '"));
    EXPECT_THAT(message, HasSubstr("from 0 to 4294967295"));
  }
  biases.clear();
  EXPECT_EQ(ParseLogitBias("7:1,7:2", &biases).message(),
            "--logit_bias=7:1,7:2: token 7 has a bias already; one is allowed");
}

}  // namespace
}  // namespace winnow
