#include "server/idle_ratio.h"

#include "gtest/gtest.h"

namespace winnow {
namespace {

absl::Time At(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

TEST(IdleRatioTest, SinceTheStartAtFirst) {
  IdleRatio idle(At(0));
  EXPECT_EQ(idle.Update(At(0), absl::ZeroDuration()), 1);
  EXPECT_EQ(idle.Update(At(4), absl::Seconds(1)), 0.75);
  EXPECT_EQ(idle.Update(At(8), absl::Seconds(1)), 0.875);
}

TEST(IdleRatioTest, ForgetsWhatIsTwoWindowsOld) {
  IdleRatio idle(At(0));
  double busy = 0;  // for the first 30 s all the time, then never
  double ratio = -1;
  for (double now = 0; now <= 60; now += 0.05) {
    if (now < 30) busy = now;
    ratio = idle.Update(At(now), absl::Seconds(busy));
    if (now >= 1 && now < 30) {
      EXPECT_NEAR(ratio, 0, 1e-9) << now;
    }
    if (now >= 51) {
      EXPECT_NEAR(ratio, 1, 1e-9) << now;
    }
  }
}

TEST(IdleRatioTest, BetweenCallsThatAreFarApart) {
  IdleRatio idle(At(0));
  EXPECT_EQ(idle.Update(At(60), absl::Seconds(60)), 0);
  EXPECT_EQ(idle.Update(At(120), absl::Seconds(75)), 0.75);
}

TEST(IdleRatioTest, StaysWithinBoundsWhenClocksDoNot) {
  IdleRatio idle(At(100));
  EXPECT_EQ(idle.Update(At(50), absl::Seconds(5)), 1);
  EXPECT_EQ(idle.Update(At(101), absl::Seconds(5)), 0);
}

}  // namespace
}  // namespace winnow
