#include "server/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <system_error>

namespace winnow {
namespace {

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double MaxFds() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<double>::infinity();
  return static_cast<double>(limit.rlim_cur);
}

// But for the one that it takes to count them.
int64_t OpenFds() {
  std::error_code error;
  std::filesystem::directory_iterator files("/proc/self/fd", error);
  int64_t num_files = -1;
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    ++num_files;
  }
  return error ? 0 : num_files;
}

// When the machine was started, in Unix time.
double BootSeconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  double seconds = 0;
  while (file >> word) {
    if (word == "btime") return file >> seconds ? seconds : 0;
  }
  return 0;
}

// Field 22 of /proc/self/stat, in ticks after the machine's start. The name, field 2, is in
// parentheses and may hold spaces.
double StartSeconds() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  double ticks = 0;
  fields >> ticks;
  return BootSeconds() + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

ProcessStats ReadProcessStats() {
  static const double start_seconds = StartSeconds();
  ProcessStats stats;
  stats.start_time_seconds = start_seconds;
  stats.cpu_seconds = CpuSeconds();
  stats.open_fds = OpenFds();
  stats.max_fds = MaxFds();
  std::ifstream file("/proc/self/statm");
  int64_t virtual_pages = 0, resident_pages = 0;
  file >> virtual_pages >> resident_pages;
  stats.virtual_bytes = virtual_pages * sysconf(_SC_PAGESIZE);
  stats.resident_bytes = resident_pages * sysconf(_SC_PAGESIZE);
  return stats;
}

}  // namespace winnow
