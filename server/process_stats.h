// What the kernel says of this process, in the units of Prometheus' process metrics.
#ifndef WINNOW_SERVER_PROCESS_STATS_H_
#define WINNOW_SERVER_PROCESS_STATS_H_

#include <cstdint>

namespace winnow {

struct ProcessStats {
  double cpu_seconds = 0;  // user and system
  int64_t resident_bytes = 0;
  int64_t virtual_bytes = 0;
  int64_t open_fds = 0;
  double max_fds = 0;             // infinite where there is no limit
  double start_time_seconds = 0;  // Unix time
};

// From /proc: what cannot be read is 0. Takes time that grows with the open files. Thread-safe.
ProcessStats ReadProcessStats();

}  // namespace winnow

#endif  // WINNOW_SERVER_PROCESS_STATS_H_
