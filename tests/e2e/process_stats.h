// What the kernel says of a process: for tests that watch a server from outside.
#ifndef WINNOW_TESTS_E2E_PROCESS_STATS_H_
#define WINNOW_TESTS_E2E_PROCESS_STATS_H_

#include <sys/types.h>

#include <cstdint>

namespace winnow {

// This test and the programs built with it are many times slower, and their memory is mostly the
// sanitizer's.
#if defined(__SANITIZE_ADDRESS__) || defined(WINNOW_TSAN)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// gRPC's timer threads stand apart: it starts one whenever a timer fires while no other of them
// waits for the next, so their number follows what fires at once, not the streams.
struct NumThreads {
  int grpc_timers = 0;
  int others = 0;
};

// All three CHECK that the process exists.
NumThreads CountThreads(pid_t pid);
int CountOpenFiles(pid_t pid);
// Memory that is present, in bytes (VmRSS).
int64_t ResidentBytes(pid_t pid);

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_PROCESS_STATS_H_
