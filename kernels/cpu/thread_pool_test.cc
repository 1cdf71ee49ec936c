#include "kernels/cpu/thread_pool.h"

#include <atomic>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace winnow::cpu {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

// Plain ints: ThreadSanitizer sees whether Run orders the tasks' writes before its return.
TEST_P(ThreadPoolTest, RunsEveryTaskOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.num_threads(), GetParam());
  for (const int64_t num_tasks : {0, 1, 2, 3, 7, 1000}) {
    std::vector<int> count(num_tasks, 0);
    std::vector<int> thread_of(num_tasks, -1);
    pool.Run(num_tasks, [&](int64_t task, int thread) {
      ++count[task];
      thread_of[task] = thread;
    });
    for (int64_t i = 0; i < num_tasks; ++i) {
      EXPECT_EQ(count[i], 1) << i << " of " << num_tasks;
      EXPECT_GE(thread_of[i], 0);
      EXPECT_LT(thread_of[i], GetParam());
    }
  }
}

TEST_P(ThreadPoolTest, ScratchPerThreadIsExclusive) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> sum(pool.num_threads(), 0);
  pool.Run(10000, [&](int64_t task, int thread) { sum[thread] += task; });
  int64_t total = 0;
  for (const int64_t s : sum) total += s;
  EXPECT_EQ(total, int64_t{9999} * 10000 / 2);
}

TEST_P(ThreadPoolTest, LoopsFollowEachOtherClosely) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> values(8, 0);
  for (int round = 0; round < 20000; ++round) {
    pool.Run(8,
             [&](int64_t task, int) { values[task] += values[(task) % 8] == round ? 1 : -1000; });
  }
  for (const int64_t v : values) EXPECT_EQ(v, 20000);
}

// Each loop reads what all tasks of the one before wrote.
TEST_P(ThreadPoolTest, EachLoopSeesTheOneBefore) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> from(64, 1), to(64, 0);
  for (int round = 0; round < 500; ++round) {
    pool.Run(64, [&](int64_t task, int) { to[task] = from[(task + 17) % 64] + 1; });
    std::swap(from, to);
  }
  for (const int64_t v : from) EXPECT_EQ(v, 501);
}

// Fewer tasks than threads, then a pause long enough for workers to sleep (a loop that keeps thread
// 0 busy alone).
TEST_P(ThreadPoolTest, WorkersWakeAfterSleeping) {
  ThreadPool pool(GetParam());
  std::atomic<int64_t> ran{0};
  for (int round = 0; round < 5; ++round) {
    volatile int64_t busy = 0;
    while (busy < 20'000'000) busy = busy + 1;
    pool.Run(100, [&](int64_t, int) { ran.fetch_add(1); });
  }
  EXPECT_EQ(ran.load(), 500);
}

TEST_P(ThreadPoolTest, EndsWithoutEverRunning) {
  for (int i = 0; i < 20; ++i) ThreadPool pool(GetParam());
}

TEST_P(ThreadPoolTest, PoolsAreIndependent) {
  ThreadPool a(GetParam()), b(GetParam());
  int64_t inner_total = 0;
  a.Run(1, [&](int64_t, int) {
    std::vector<int64_t> seen(10, 0);
    b.Run(10, [&](int64_t task, int) { seen[task] = task; });
    for (const int64_t s : seen) inner_total += s;
  });
  EXPECT_EQ(inner_total, 45);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 8));

TEST(ThreadPoolDeathTest, RefusesNoThreads) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(ThreadPool(0), "0 threads");
}

}  // namespace
}  // namespace winnow::cpu
