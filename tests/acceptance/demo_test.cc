// The demo as a user runs it: it ends with the right digits, and says so.
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

struct DemoRun {
  int exit_code = -1;
  std::string output;
};

DemoRun RunDemo(const std::string& flags) {
  const std::string command =
      "client/winnow-demo --server=server/winnow-server --model=deploy/demo-model " + flags +
      " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  DemoRun run;
  std::array<char, 4096> buffer;
  size_t n;
  while ((n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    run.output.append(buffer.data(), n);
  }
  const int status = pclose(pipe);
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

TEST(DemoTest, FindsTheFactEightThousandTokensBack) {
  const DemoRun run = RunDemo("");
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, testing::HasSubstr("right"));
  EXPECT_THAT(run.output, testing::HasSubstr("full key/value cache"));
}

TEST(DemoTest, OtherSeedsMakeOtherTexts) {
  const DemoRun a = RunDemo("--seed=2 --tokens=1500"), b = RunDemo("--seed=3 --tokens=1500");
  EXPECT_EQ(a.exit_code, 0) << a.output;
  EXPECT_EQ(b.exit_code, 0) << b.output;
  EXPECT_NE(a.output, b.output);
}

TEST(DemoTest, ReportsAServerThatCannotStart) {
  const DemoRun run = RunDemo("--server_flag=--state_memory=1KiB");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, testing::HasSubstr("state memory of 1024 bytes"));
}

}  // namespace
}  // namespace winnow
