#include "tests/e2e/programs.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/check.h"

extern char** environ;

namespace winnow {

Ended RunCommand(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  WINNOW_CHECK(pipe != nullptr);
  Ended run;
  std::array<char, 4096> buffer;
  size_t n;
  while ((n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    run.output.append(buffer.data(), n);
  }
  const int status = pclose(pipe);
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

std::optional<std::string> WhyMissing(const std::string& program) {
  if (RunCommand(absl::StrCat("command -v ", program)).exit_code == 0) return std::nullopt;
  const std::string why =
      absl::StrCat("there is no ", program, "; Debian's package prometheus has it");
  EXPECT_NE(RunCommand("apt-cache policy prometheus 2>&1 | grep -q 'Candidate: [^(]'").exit_code, 0)
      << why << ", and ./winnow test installs it";
  return absl::StrCat(why, ", and apt offers none here");
}

BackgroundProgram::BackgroundProgram(std::vector<std::string> words, const std::string& log) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  WINNOW_CHECK(posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0)
      << words[0];
  posix_spawn_file_actions_destroy(&actions);
}

BackgroundProgram::~BackgroundProgram() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace winnow
