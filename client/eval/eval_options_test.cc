#include "client/eval/eval_options.h"

#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

EvalCommandLine Parse(std::vector<const char*> args) {
  args.insert(args.begin(), "winnow-eval");
  return ParseEvalCommandLine(static_cast<int>(args.size()), args.data());
}

EvalOptions Parsed(std::vector<const char*> args) {
  const EvalCommandLine line = Parse(std::move(args));
  EXPECT_TRUE(line.options.has_value()) << line.text;
  return line.options.value_or(EvalOptions());
}

TEST(EvalOptionsTest, DefaultsAreTheWholeTable) {
  const EvalOptions options = Parsed({});
  EXPECT_EQ(options.plan, PlanCells(CellLists(), 20));
  EXPECT_FALSE(options.time);
  ASSERT_THAT(options.variants, SizeIs(1));
  EXPECT_EQ(options.variants[0].address, "127.0.0.1:50051");
  EXPECT_FALSE(options.timeout.has_value());
}

TEST(EvalOptionsTest, ListsMakeThePlan) {
  EXPECT_EQ(Parsed({"--tasks=single", "--lengths=512", "--depths=0,50", "--texts=9"}).plan,
            PlanCells({.tasks = {Task::kSingle}, .lengths = {512}, .depths = {0, 50}}, 9));
  const CellLists several = {
      .tasks = {Task::kMultiKey, Task::kMultiValue}, .many_lengths = {900}, .facts = {2, 20}};
  EXPECT_EQ(Parsed({"--tasks=multi_value,multi_key", "--many_lengths=900", "--facts=2,20"}).plan,
            PlanCells(several, 20));
}

TEST(EvalOptionsTest, VariantsHaveNamesAndAddresses) {
  const EvalOptions options =
      Parsed({"--server=lte=10.0.0.1:50051,gdn=unix:/tmp/s", "--server=h:1", "--timeout=30s"});
  ASSERT_THAT(options.variants, SizeIs(3));
  EXPECT_EQ(options.variants[0].name, "lte");
  EXPECT_EQ(options.variants[0].address, "10.0.0.1:50051");
  EXPECT_EQ(options.variants[1].address, "unix:/tmp/s");
  EXPECT_EQ(options.variants[2].name, "h:1");
  EXPECT_EQ(options.timeout, absl::Seconds(30));
}

struct Wrong {
  const char* flag;
  const char* message;
};

class WrongOptionTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongOptionTest, NamesFlagValueAndLimit) {
  const EvalCommandLine line = Parse({GetParam().flag});
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, kExitUsage);
  EXPECT_THAT(line.text, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongOptionTest,
    ::testing::Values(Wrong{"--tasks=double", "--tasks=double: write one of single, multi_key"},
                      Wrong{"--depths=101", "--depths=101: write a number from 0 to 100"},
                      Wrong{"--depths=50,50", "--depths=50: is given twice"},
                      Wrong{"--lengths=20", "--lengths=20: single, depth 0%: needs at least 54"},
                      Wrong{"--many_lengths=1024",
                            "--many_lengths=1024: multi_key, 64 facts: needs at least 1566 tokens"},
                      Wrong{"--facts=0", "--facts=0: write a number from 1 to 1000"},
                      Wrong{"--texts=0", "--texts=0: write a number from 1 to 10000\n"},
                      Wrong{"--texts=4", "--texts=4: single facts need one for each of the 5"},
                      Wrong{"--concurrency=0", "--concurrency=0: write a number from 1"},
                      Wrong{"--server==h:1", "--server==h:1: write NAME=HOST:PORT"},
                      Wrong{"--server=a=h:1,a=h:2", "--server=a=h:2: the name is given twice"},
                      Wrong{"--timeout=-1s", "--timeout=-1s: write a duration above 0"}));

TEST(EvalOptionsTest, OneReportGoesToStandardOutput) {
  EXPECT_EQ(Parsed({"--json=-", "--html=a.html"}).json, "-");
  EXPECT_THAT(Parse({"--json=-", "--markdown=-"}).text, HasSubstr("only one of --json"));
}

TEST(EvalOptionsTest, HelpHasExamplesAndExitCodes) {
  const EvalCommandLine line = Parse({"--help"});
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_THAT(line.text, HasSubstr("winnow-eval --tasks=multi_key"));
  EXPECT_THAT(line.text, HasSubstr("Exit codes: 0"));
}

}  // namespace
}  // namespace winnow::eval
