// Plots as SVG that stands by itself: no script, font or style from elsewhere.
#ifndef WINNOW_CLIENT_LOAD_SVG_PLOT_H_
#define WINNOW_CLIENT_LOAD_SVG_PLOT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace winnow::load {

struct Point {
  double x = 0, y = 0;
};

enum class Drawn { kLine, kLineWithDots, kDots };

struct Series {
  std::string name;
  std::vector<Point> points = {};
  Drawn drawn = Drawn::kLine;
};

// A line across the plot at a value of x or y, with its name: an objective.
struct Mark {
  std::string name;
  double value = 0;
  bool vertical = true;
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;  // points at 0 or below are left out then
  std::vector<Series> series = {};
  std::vector<Mark> marks = {};
};

// An <svg> element. The axes span all points and marks; a linear axis begins at 0.
std::string RenderSvg(const Plot& plot);

// Round numbers from at most `low` to at least `high`, about five steps between them; low < high.
std::vector<double> LinearTicks(double low, double high);
// 1, 2 and 5 (or, over many decades, 1 only) times powers of ten, likewise; 0 < low < high.
std::vector<double> LogTicks(double low, double high);

// Text for XML content and attribute values. Control characters, which XML has no way to write,
// become spaces.
std::string EscapeXml(absl::string_view text);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_SVG_PLOT_H_
