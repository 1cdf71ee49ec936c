#include "server/work_queue.h"

#include <atomic>
#include <future>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(WorkQueueTest, OneThreadKeepsTheOrder) {
  std::vector<int> seen;
  {
    WorkQueue queue("test", 1);
    for (int i = 0; i < 100; ++i) queue.Post([&seen, i] { seen.push_back(i); });
  }
  ASSERT_EQ(seen.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[i], i);
}

TEST(WorkQueueTest, AllTasksRunOnSeveralThreads) {
  std::atomic<int> sum{0};
  {
    WorkQueue queue("test", 3);
    for (int i = 1; i <= 1000; ++i) queue.Post([&sum, i] { sum += i; });
  }
  EXPECT_EQ(sum, 500500);
}

TEST(WorkQueueTest, FullQueueRefuses) {
  std::promise<void> started, release;
  std::atomic<int> ran{0};
  {
    WorkQueue queue("test", 1);
    queue.Post([&] {
      started.set_value();
      release.get_future().wait();
    });
    started.get_future().wait();
    EXPECT_TRUE(queue.TryPost([&ran] { ++ran; }, 2));
    EXPECT_TRUE(queue.TryPost([&ran] { ++ran; }, 2));
    EXPECT_FALSE(queue.TryPost([&ran] { ++ran; }, 2));
    release.set_value();
  }
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace winnow
