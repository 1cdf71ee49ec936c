#include "client/eval/evidence_options.h"

#include "client/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::eval {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

EvidenceCommandLine Parse(std::vector<const char*> args) {
  args.insert(args.begin(), {"winnow-evidence", "--server=winnow-server"});
  return ParseEvidenceCommandLine(static_cast<int>(args.size()), args.data());
}

EvidenceOptions Parsed(std::vector<const char*> args) {
  const EvidenceCommandLine line = Parse(std::move(args));
  EXPECT_TRUE(line.options.has_value()) << line.text;
  return line.options.value_or(EvidenceOptions());
}

TEST(EvidenceOptionsTest, QuickIsTheDefault) {
  const EvidenceOptions options = Parsed({"--checkpoints=models"});
  EXPECT_EQ(options.server_binary, "winnow-server");
  EXPECT_EQ(options.checkpoint_directory, "models");
  EXPECT_EQ(options.out, "evidence");
  EXPECT_FALSE(options.full);
  EXPECT_FALSE(options.fresh);
  EXPECT_FALSE(Parsed({"--checkpoints=models", "--quick"}).full);
  EXPECT_TRUE(Parsed({"--checkpoints=models", "--full"}).full);
}

TEST(EvidenceOptionsTest, CheckpointsMayBeGivenOneByOne) {
  const EvidenceOptions options =
      Parsed({"--checkpoint=lte=a/b,gdn=c=d", "--checkpoint=swa=e", "--server_flag=--threads=1",
              "--server_flag=--log_level=warn"});
  ASSERT_THAT(options.checkpoints, SizeIs(3));
  EXPECT_EQ(options.checkpoints[0].name, "lte");
  EXPECT_EQ(options.checkpoints[0].directory, "a/b");
  EXPECT_EQ(options.checkpoints[1].directory, "c=d");
  EXPECT_EQ(options.checkpoints[2].name, "swa");
  EXPECT_THAT(options.server_flags, ElementsAre("--threads=1", "--log_level=warn"));
}

struct Wrong {
  std::vector<const char*> flags;
  const char* message;
};

class WrongEvidenceOptionTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongEvidenceOptionTest, IsSaid) {
  const EvidenceCommandLine line = Parse(GetParam().flags);
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, kExitUsage);
  EXPECT_THAT(line.text, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongEvidenceOptionTest,
    ::testing::Values(Wrong{{}, "give either --checkpoints or --checkpoint"},
                      Wrong{{"--checkpoints=a", "--checkpoint=b=c"}, "give either"},
                      Wrong{{"--checkpoint=dir"}, "--checkpoint=dir: write NAME=DIR"},
                      Wrong{{"--checkpoint=a/b=dir"}, "--checkpoint=a/b=dir: write NAME=DIR"},
                      Wrong{{"--checkpoint=a=b,a=c"}, "--checkpoint=a=c: the name is given twice"},
                      Wrong{{"--checkpoints=a", "--quick", "--full"}, "--quick excludes --full"},
                      Wrong{{"--checkpoints=a", "--seed=x"}, "--seed"}));

TEST(EvidenceOptionsTest, HelpTellsOfGoingOn) {
  const EvidenceCommandLine line = Parse({"--help"});
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_THAT(line.text, HasSubstr("What is measured:"));
  EXPECT_THAT(line.text, HasSubstr("goes on where it was stopped"));
}

}  // namespace
}  // namespace winnow::eval
