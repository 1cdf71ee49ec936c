#include "client/load/svg_plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace winnow::load {
namespace {

// In SVG units; the legend has the column at the right.
constexpr double kWidth = 860, kHeight = 330;
constexpr double kLeft = 74, kRight = 660, kTop = 34, kBottom = 276;
constexpr double kLegendX = 676, kLegendStep = 18;
constexpr size_t kMaxLegend = 13;

// Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow.
constexpr std::array<const char*, 7> kColors = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                "#56B4E9", "#E69F00", "#555555"};
constexpr std::array<const char*, 3> kDashes = {"", "6 3", "2 3"};

const char* ColorOf(size_t i) { return kColors[i % kColors.size()]; }
const char* DashOf(size_t i) { return kDashes[i / kColors.size() % kDashes.size()]; }

// One axis: values to places.
struct Axis {
  bool log = false;
  std::vector<double> ticks;
  double begin = 0, end = 0;  // places of the first and last tick

  double At(double value) const {
    const auto scale = [&](double v) { return log ? std::log(v) : v; };
    const double low = scale(ticks.front()), high = scale(ticks.back());
    return begin + (scale(value) - low) / (high - low) * (end - begin);
  }
};

bool Fits(const Point& point, const Plot& plot) {
  return std::isfinite(point.x) && std::isfinite(point.y) && (!plot.log_x || point.x > 0) &&
         (!plot.log_y || point.y > 0);
}

Axis MakeAxis(std::vector<double> values, bool log, double begin, double end) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (values.empty()) return {log, log ? LogTicks(1, 10) : LinearTicks(0, 1), begin, end};
  if (!log) return {log, LinearTicks(0, *high > 0 ? *high : 1), begin, end};
  return {log, LogTicks(*low, std::max(*high, *low * 1.2)), begin, end};
}

Axis AxisOf(const Plot& plot, bool x) {
  const bool log = x ? plot.log_x : plot.log_y;
  std::vector<double> values;
  for (const Series& series : plot.series) {
    for (const Point& point : series.points) {
      if (Fits(point, plot)) values.push_back(x ? point.x : point.y);
    }
  }
  for (const Mark& mark : plot.marks) {
    if (mark.vertical == x && (!log || mark.value > 0)) values.push_back(mark.value);
  }
  return x ? MakeAxis(values, log, kLeft, kRight) : MakeAxis(values, log, kBottom, kTop);
}

std::string Text(double x, double y, absl::string_view anchor, absl::string_view text,
                 absl::string_view more = "") {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y,
                         anchor, more, EscapeXml(text));
}

std::string Line(double x1, double y1, double x2, double y2, absl::string_view style) {
  return absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2,
                         y2, style);
}

std::string Grid(const Plot& plot, const Axis& x, const Axis& y) {
  constexpr char kStyle[] = "stroke=\"#dddddd\"";
  std::string svg;
  for (const double tick : x.ticks) {
    absl::StrAppend(&svg, Line(x.At(tick), kTop, x.At(tick), kBottom, kStyle),
                    Text(x.At(tick), kBottom + 17, "middle", absl::StrFormat("%g", tick)));
  }
  for (const double tick : y.ticks) {
    absl::StrAppend(&svg, Line(kLeft, y.At(tick), kRight, y.At(tick), kStyle),
                    Text(kLeft - 7, y.At(tick) + 4, "end", absl::StrFormat("%g", tick)));
  }
  absl::StrAppend(
      &svg, Text(kLeft, 18, "start", plot.title, " font-weight=\"bold\" font-size=\"14\""),
      Text((kLeft + kRight) / 2, kHeight - 12, "middle", plot.x_label),
      Text(0, 0, "middle", plot.y_label,
           absl::StrFormat(" transform=\"translate(16 %.1f) rotate(-90)\"", (kTop + kBottom) / 2)));
  return svg;
}

std::string DrawLine(const std::vector<Point>& places, size_t index) {
  std::string points;
  for (const Point& place : places) absl::StrAppendFormat(&points, "%.1f,%.1f ", place.x, place.y);
  const std::string dash = DashOf(index);
  return absl::StrCat("<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"", ColorOf(index),
                      "\"", dash.empty() ? "" : absl::StrCat(" stroke-dasharray=\"", dash, "\""),
                      " points=\"", points, "\"/>\n");
}

std::string DrawDots(const std::vector<Point>& places, size_t index, double radius) {
  std::string svg;
  for (const Point& place : places) {
    absl::StrAppendFormat(&svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" fill=\"%s\"/>\n", place.x,
                          place.y, radius, ColorOf(index));
  }
  return svg;
}

std::string DrawSeries(const Plot& plot, size_t index, const Axis& x, const Axis& y) {
  const Series& series = plot.series[index];
  std::vector<Point> places;
  for (const Point& point : series.points) {
    if (Fits(point, plot)) places.push_back({x.At(point.x), y.At(point.y)});
  }
  std::string svg;
  if (series.drawn != Drawn::kDots) svg += DrawLine(places, index);
  if (series.drawn == Drawn::kLineWithDots) svg += DrawDots(places, index, 3.5);
  if (series.drawn == Drawn::kDots) svg += DrawDots(places, index, 1.8);
  return svg;
}

std::string DrawMarks(const Plot& plot, const Axis& x, const Axis& y) {
  constexpr char kStyle[] = "stroke=\"#000000\" stroke-dasharray=\"4 4\"";
  std::string svg;
  for (const Mark& mark : plot.marks) {
    if (!(mark.value > 0)) continue;
    if (mark.vertical) {
      // Beside the line, on the side that has more room.
      const double place = x.At(mark.value);
      const bool left = place > (kLeft + kRight) / 2;
      absl::StrAppend(
          &svg, Line(place, kTop, place, kBottom, kStyle),
          Text(place + (left ? -5 : 5), kBottom - 8, left ? "end" : "start", mark.name));
    } else {
      // Above the line, or below one so high that the name would run into the title.
      const double place = y.At(mark.value);
      const double base = place - kTop < 16 ? place + 14 : place - 5;
      absl::StrAppend(&svg, Line(kLeft, place, kRight, place, kStyle),
                      Text(kLeft + 6, base, "start", mark.name));
    }
  }
  return svg;
}

std::string Legend(const Plot& plot) {
  std::string svg;
  double y = kTop + 8;
  for (size_t i = 0; i < plot.series.size(); ++i, y += kLegendStep) {
    if (i == kMaxLegend) {
      return svg + Text(kLegendX, y + 4, "start",
                        absl::StrCat("and ", plot.series.size() - kMaxLegend, " more"));
    }
    const bool dots = plot.series[i].drawn == Drawn::kDots;
    absl::StrAppend(&svg,
                    dots ? DrawDots({{kLegendX + 11, y}}, i, 3.5)
                         : DrawLine({{kLegendX, y}, {kLegendX + 22, y}}, i),
                    Text(kLegendX + 29, y + 4, "start", plot.series[i].name));
  }
  return svg;
}

}  // namespace

std::string EscapeXml(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return escaped;
}

std::vector<double> LinearTicks(double low, double high) {
  const double rough = (high - low) / 5;
  const double magnitude = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * magnitude;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * magnitude >= rough * 0.999) {
      step = factor * magnitude;
      break;
    }
  }
  std::vector<double> ticks;
  // By whole numbers of steps, so that no sum of rounding errors becomes a label.
  const auto first = static_cast<int64_t>(std::floor(low / step + 1e-9));
  const auto last = static_cast<int64_t>(std::ceil(high / step - 1e-9));
  for (int64_t i = first; i <= last; ++i) ticks.push_back(static_cast<double>(i) * step);
  return ticks;
}

std::vector<double> LogTicks(double low, double high) {
  const bool fine = std::log10(high / low) < 3.5;
  std::vector<double> all;
  for (int power = static_cast<int>(std::floor(std::log10(low) + 1e-9)) - 1;
       all.empty() || all.back() < high * 0.999999; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor == 1 || fine) all.push_back(factor * std::pow(10, power));
      if (all.back() >= high * 0.999999) break;
    }
  }
  // Those that end at or below `low` go, but for the last of them.
  const auto above =
      std::find_if(all.begin(), all.end(), [low](double tick) { return tick > low * 1.000001; });
  all.erase(all.begin(), above - 1);
  return all;
}

std::string RenderSvg(const Plot& plot) {
  const Axis x = AxisOf(plot, true), y = AxisOf(plot, false);
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" role=\"img\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n<title>%s</title>\n",
      kWidth, kHeight, EscapeXml(plot.title));
  svg += Grid(plot, x, y);
  for (size_t i = 0; i < plot.series.size(); ++i) svg += DrawSeries(plot, i, x, y);
  absl::StrAppend(&svg, DrawMarks(plot, x, y), Legend(plot), "</svg>\n");
  return svg;
}

}  // namespace winnow::load
