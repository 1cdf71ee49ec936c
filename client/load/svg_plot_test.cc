#include "client/load/svg_plot.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(TicksTest, LinearOnesAreRound) {
  EXPECT_THAT(LinearTicks(0, 10), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(LinearTicks(0, 11), ElementsAre(0, 5, 10, 15));
  EXPECT_EQ(LinearTicks(0, 0.003).back(), 0.003);
}

TEST(TicksTest, LogarithmicOnesAreOneTwoFive) {
  EXPECT_THAT(LogTicks(1, 10), ElementsAre(1, 2, 5, 10));
  EXPECT_THAT(LogTicks(3, 60), ElementsAre(2, 5, 10, 20, 50, 100));
  EXPECT_THAT(LogTicks(2, 20'000), ElementsAre(1, 10, 100, 1000, 10'000, 100'000));
}

TEST(TicksTest, LogarithmicOnesSpanTheirRange) {
  for (double low = 1e-4; low < 1e4; low *= 1.37) {
    for (const double factor : {1.2, 3.0, 77.0, 1e6}) {
      const auto ticks = LogTicks(low, low * factor);
      ASSERT_GE(ticks.size(), 2u);
      EXPECT_LE(ticks[0], low * 1.00001);
      EXPECT_GT(ticks[1], low);
      EXPECT_GE(ticks.back(), low * factor * 0.99999);
    }
  }
}

TEST(SvgPlotTest, PointsLieWhereTheTicksSay) {
  Plot plot = {.title = "t", .x_label = "x", .y_label = "y"};
  plot.series = {{"line", {{0, 0}, {10, 100}}}};
  // The corners of the axes.
  EXPECT_THAT(RenderSvg(plot), HasSubstr("points=\"74.0,276.0 660.0,34.0 \""));
}

TEST(SvgPlotTest, LeavesOutWhatALogarithmicAxisCannotShow) {
  Plot plot = {.title = "t", .x_label = "x", .y_label = "y", .log_x = true};
  plot.series = {{"line", {{0, 5}, {-1, 5}, {1, 0}, {10, 10}}}};
  EXPECT_THAT(RenderSvg(plot), HasSubstr("points=\"74.0,276.0 660.0,34.0 \""));
}

TEST(SvgPlotTest, HasNoNumberThatIsNone) {
  for (const bool log : {false, true}) {
    Plot plot = {.title = "t", .x_label = "x", .y_label = "y", .log_x = log, .log_y = log};
    EXPECT_THAT(RenderSvg(plot), Not(HasSubstr("nan"))) << "no series";
    plot.series = {{"none", {}}, {"one", {{3, 3}}, Drawn::kDots}};
    EXPECT_THAT(RenderSvg(plot), Not(HasSubstr("nan"))) << "one point";
    plot.series = {{"zero", {{0, 0}}}, {"nan", {{NAN, 1}, {1, INFINITY}}}};
    const std::string svg = RenderSvg(plot);
    EXPECT_THAT(svg, Not(HasSubstr("nan,")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(SvgPlotTest, MarksAndNamesAreThere) {
  Plot plot = {.title = "a < b", .x_label = "x", .y_label = "y"};
  plot.series = {{"R&D", {{0, 0}, {10, 10}}, Drawn::kLineWithDots}};
  plot.marks = {{"limit", 5, true}, {"most", 8, false}};
  const std::string svg = RenderSvg(plot);
  for (const char* text : {"a &lt; b", "R&amp;D", ">limit<", ">most<", "<circle"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
}

TEST(SvgPlotTest, ALongLegendIsCut) {
  Plot plot = {.title = "t", .x_label = "x", .y_label = "y"};
  for (int i = 0; i < 20; ++i) {
    plot.series.push_back({absl::StrCat("series ", i), {{0, 0}, {1, 1}}});
  }
  EXPECT_THAT(RenderSvg(plot), HasSubstr(">and 7 more<"));
}

TEST(EscapeXmlTest, LeavesNothingThatXmlCannotHold) {
  EXPECT_EQ(EscapeXml("<a b=\"c\">&\n\x01"), "&lt;a b=&quot;c&quot;&gt;&amp;  ");
}

}  // namespace
}  // namespace winnow::load
