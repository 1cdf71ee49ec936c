#include "client/eval/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "client/load/svg_plot.h"

namespace winnow::eval {
namespace {

using load::EscapeXml;

// In SVG units.
constexpr double kLeft = 84, kTop = 34, kRowHeight = 28, kBottomSpace = 46;
constexpr double kColumnWidth = 56, kMinWidth = 284;  // the latter holds a title

// From white to the first colour of plots.
constexpr std::array<int, 3> kDark = {0x00, 0x72, 0xB2};

std::string ColorOf(double value) {
  std::string color = "#";
  for (const int dark : kDark) {
    const double part = 255 + std::clamp(value, 0.0, 1.0) * (dark - 255);
    absl::StrAppendFormat(&color, "%02x", static_cast<int>(std::lround(part)));
  }
  return color;
}

std::string Text(double x, double y, absl::string_view anchor, absl::string_view more,
                 absl::string_view text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y,
                         anchor, more, EscapeXml(text));
}

std::string DrawCell(const std::optional<HeatCell>& cell, double x, double y) {
  const std::string place = absl::StrFormat("x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"",
                                            x, y, kColumnWidth - 2, kRowHeight - 2);
  if (!cell.has_value()) {
    return absl::StrCat("<rect ", place, " fill=\"none\" stroke=\"#dddddd\"/>\n");
  }
  const char* ink = cell->value > 0.55 ? " fill=\"#ffffff\"" : "";
  return absl::StrCat("<g><title>", EscapeXml(cell->hint), "</title><rect ", place, " fill=\"",
                      ColorOf(cell->value), "\" stroke=\"#dddddd\"/>",
                      Text(x + kColumnWidth / 2 - 1, y + kRowHeight / 2 + 3.5, "middle", ink,
                           absl::StrFormat("%.0f%%", 100 * cell->value)),
                      "</g>\n");
}

}  // namespace

std::string RenderHeatMap(const HeatMap& map) {
  const double right = kLeft + kColumnWidth * static_cast<double>(map.columns.size());
  const double width = std::max(kMinWidth, right + 10);
  const double bottom = kTop + kRowHeight * static_cast<double>(map.rows.size());
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" role=\"img\" "
      "style=\"width:%gpx;max-width:100%%\" font-family=\"sans-serif\" font-size=\"12\" "
      "fill=\"#222222\">\n<title>%s</title>\n",
      width, bottom + kBottomSpace, width, EscapeXml(map.title));
  svg += Text(kLeft, 18, "start", " font-weight=\"bold\" font-size=\"14\"", map.title);
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double y = kTop + kRowHeight * static_cast<double>(r);
    svg += Text(kLeft - 8, y + kRowHeight / 2 + 3.5, "end", "", map.rows[r]);
    for (size_t c = 0; c < map.columns.size(); ++c) {
      svg += DrawCell(map.cells[r][c], kLeft + kColumnWidth * static_cast<double>(c), y);
    }
  }
  for (size_t c = 0; c < map.columns.size(); ++c) {
    svg += Text(kLeft + kColumnWidth * (static_cast<double>(c) + 0.5), bottom + 16, "middle", "",
                map.columns[c]);
  }
  absl::StrAppend(
      &svg, Text((kLeft + right) / 2, bottom + 36, "middle", "", map.x_label),
      Text(0, 0, "middle",
           absl::StrFormat(" transform=\"translate(16 %.1f) rotate(-90)\"", (kTop + bottom) / 2),
           map.y_label),
      "</svg>\n");
  return svg;
}

}  // namespace winnow::eval
