// Heat maps as SVG that stands by itself, in the style of client/load/svg_plot.h.
#ifndef WINNOW_CLIENT_EVAL_HEAT_MAP_H_
#define WINNOW_CLIENT_EVAL_HEAT_MAP_H_

#include <optional>
#include <string>
#include <vector>

namespace winnow::eval {

struct HeatCell {
  double value = 0;  // 0 (white) to 1 (dark)
  std::string hint;  // shown when the pointer rests on it
};

struct HeatMap {
  std::string title, x_label, y_label;
  std::vector<std::string> columns = {}, rows = {};
  std::vector<std::vector<std::optional<HeatCell>>> cells =
      {};  // [rows][columns]; none: not measured
};

// An <svg> element as wide as its columns, so that several stand side by side where a page has
// room; each cell has its value in percent written in it.
std::string RenderHeatMap(const HeatMap& map);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_HEAT_MAP_H_
