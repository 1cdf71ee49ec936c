#include "server/stop_events.h"

#include <signal.h>

#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(StopEventsTest, TimesOut) {
  StopEvents events;
  EXPECT_EQ(events.Wait(absl::Now()), StopEvent::kTimeout);
  EXPECT_EQ(events.Wait(absl::InfinitePast()), StopEvent::kTimeout);
}

TEST(StopEventsTest, EachNotificationIsOneEvent) {
  StopEvents events;
  std::thread([&] { events.NotifyDrained(); }).join();
  events.NotifyFatal();
  EXPECT_EQ(events.Wait(), StopEvent::kDrained);
  EXPECT_EQ(events.Wait(), StopEvent::kFatal);
  EXPECT_EQ(events.Wait(absl::Now()), StopEvent::kTimeout);
}

TEST(StopEventsTest, SignalsAreEvents) {
  StopEvents events;
  for (const int signal : {SIGTERM, SIGINT}) {
    kill(getpid(), signal);
    EXPECT_EQ(events.Wait(), StopEvent::kSignal);
  }
}

}  // namespace
}  // namespace winnow
