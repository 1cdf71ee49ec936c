// Programs that tests run: to their end, or beside the server.
#ifndef WINNOW_TESTS_E2E_PROGRAMS_H_
#define WINNOW_TESTS_E2E_PROGRAMS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace winnow {

struct Ended {
  int exit_code = -1;
  std::string output;
};
// A command of the shell. What it writes to stderr goes to the test's.
Ended RunCommand(const std::string& command);

// Why a program of Debian's package prometheus cannot be run here; none: it can be. Fails the test
// if apt could install the package, as ./winnow test does: then there is no excuse.
std::optional<std::string> WhyMissing(const std::string& program);

// A program that runs until this goes, when it is killed.
class BackgroundProgram {
 public:
  // Its output goes to the file `log`. CHECKs that it can be started.
  BackgroundProgram(std::vector<std::string> words, const std::string& log);
  ~BackgroundProgram();
  BackgroundProgram(const BackgroundProgram&) = delete;
  BackgroundProgram& operator=(const BackgroundProgram&) = delete;

 private:
  pid_t pid_ = -1;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_PROGRAMS_H_
