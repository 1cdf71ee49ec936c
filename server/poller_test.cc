#include "server/poller.h"

#include <atomic>
#include <future>

#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(PollerTest, CallsAgainAndAgainUntilItsEnd) {
  std::atomic<int> calls{0};
  {
    std::promise<void> third;
    Poller poller(absl::Milliseconds(1), [&] {
      if (++calls == 3) third.set_value();
    });
    third.get_future().wait();
  }
  const int at_end = calls;
  EXPECT_GE(at_end, 3);
}

TEST(PollerTest, EndsWithoutWaitingForTheInterval) {
  int calls = 0;
  {
    Poller poller(absl::Hours(1), [&] { ++calls; });
  }
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace winnow
