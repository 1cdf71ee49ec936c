#include "client/load/progress.h"

#include "gtest/gtest.h"

namespace winnow::load {
namespace {

TEST(ProgressTest, ALineWithABarWhereTheEndIsKnown) {
  StageProgress progress = {
      .sent = 120, .ended = 100, .failed = 1, .in_flight = 20, .planned = 200, .seconds = 12.3};
  EXPECT_EQ(ProgressLine("rate 4", progress),
            "rate 4  [##########..........]  50%  120 sent, 100 ended, 1 failed, 20 open, 12 s");
  progress.planned.reset();
  EXPECT_EQ(ProgressLine("rate 4", progress),
            "rate 4  120 sent, 100 ended, 1 failed, 20 open, 12 s");
}

}  // namespace
}  // namespace winnow::load
