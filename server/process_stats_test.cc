#include "server/process_stats.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(ProcessStatsTest, SaysWhatThisProcessDoes) {
  const ProcessStats before = ReadProcessStats();
  EXPECT_GT(before.max_fds, before.open_fds);
  EXPECT_GE(before.open_fds, 3);
  EXPECT_GT(before.virtual_bytes, before.resident_bytes);
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  EXPECT_LT(before.start_time_seconds, now + 2);  // the machine's start is in whole seconds
  EXPECT_GT(before.start_time_seconds, now - 600);

  constexpr size_t kBytes = 64 << 20;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, kBytes);
  const int file = open("/dev/null", O_RDONLY);
  const ProcessStats after = ReadProcessStats();
  EXPECT_EQ(after.open_fds, before.open_fds + 1);
  EXPECT_GE(after.resident_bytes, before.resident_bytes + static_cast<int64_t>(kBytes / 2));
  EXPECT_GT(after.cpu_seconds, before.cpu_seconds);
  EXPECT_EQ(after.start_time_seconds, before.start_time_seconds);
  close(file);
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace winnow
