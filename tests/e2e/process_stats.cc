#include "tests/e2e/process_stats.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/check.h"

namespace winnow {

NumThreads CountThreads(pid_t pid) {
  NumThreads num;
  const std::string tasks = absl::StrCat("/proc/", pid, "/task");
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::string name;
    std::ifstream comm(task.path() / "comm");
    if (!std::getline(comm, name)) continue;  // has ended
    ++(absl::StartsWith(name, "grpc_global_tim") ? num.grpc_timers : num.others);
  }
  WINNOW_CHECK(num.others > 0) << pid;
  return num;
}

int CountOpenFiles(pid_t pid) {
  const std::filesystem::directory_iterator files(absl::StrCat("/proc/", pid, "/fd"));
  return static_cast<int>(std::distance(begin(files), end(files)));
}

int64_t ResidentBytes(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/statm"));
  int64_t total_pages = 0, resident_pages = 0;
  WINNOW_CHECK(file >> total_pages >> resident_pages) << pid;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

}  // namespace winnow
