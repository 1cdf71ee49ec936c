#include "client/eval/eval_plots.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace winnow::eval {
namespace {

HeatCell ToHeat(const CellResult& cell) {
  const Interval interval = cell.exact_interval();
  return {.value = cell.exact_share(),
          .hint = absl::StrFormat("%d of %d right; 95%% interval %.1f%% to %.1f%%", cell.right,
                                  cell.texts, 100 * interval.low, 100 * interval.high)};
}

bool IsInMap(const Cell& cell, const CellResult& result) {
  return cell.task == Task::kSingle && result.texts > 0;
}

// Where a value stands in a sorted list that has it.
template <typename T>
size_t PlaceOf(const T& value, const std::set<T>& values) {
  return static_cast<size_t>(std::distance(values.begin(), values.find(value)));
}

}  // namespace

HeatMap SingleFacts(const EvalResult& result, const VariantResult& variant) {
  std::set<int64_t> lengths;
  std::set<int> depths;
  for (size_t i = 0; i < result.cells.size(); ++i) {
    if (!IsInMap(result.cells[i], variant.cells[i])) continue;
    lengths.insert(result.cells[i].tokens);
    depths.insert(*result.cells[i].depth);
  }
  HeatMap map = {.title = absl::StrCat("Single facts: ", variant.name),
                 .x_label = "tokens of the prompt",
                 .y_label = "depth"};
  for (const int64_t length : lengths) map.columns.push_back(absl::StrCat(length));
  for (const int depth : depths) map.rows.push_back(absl::StrCat(depth, "%"));
  map.cells.assign(depths.size(), std::vector<std::optional<HeatCell>>(lengths.size()));
  for (size_t i = 0; i < result.cells.size(); ++i) {
    const Cell& cell = result.cells[i];
    if (!IsInMap(cell, variant.cells[i])) continue;
    map.cells[PlaceOf(*cell.depth, depths)][PlaceOf(cell.tokens, lengths)] =
        ToHeat(variant.cells[i]);
  }
  return map;
}

std::vector<load::Plot> OverFacts(const EvalResult& result) {
  std::set<int64_t> lengths;
  for (const Cell& cell : result.cells) {
    if (cell.task == Task::kMultiKey) lengths.insert(cell.tokens);
  }
  std::vector<load::Plot> plots;
  for (const int64_t length : lengths) {
    load::Plot plot = {.title = absl::StrCat("One of many facts, ", length, " tokens"),
                       .x_label = "facts in the text",
                       .y_label = "right answers, %"};
    for (const VariantResult& variant : result.variants) {
      load::Series line = {.name = variant.name, .drawn = load::Drawn::kLineWithDots};
      for (size_t i = 0; i < result.cells.size(); ++i) {
        const Cell& cell = result.cells[i];
        if (cell.task != Task::kMultiKey || cell.tokens != length) continue;
        if (variant.cells[i].texts == 0) continue;
        line.points.push_back(
            {static_cast<double>(cell.facts), 100 * variant.cells[i].exact_share()});
      }
      std::sort(line.points.begin(), line.points.end(),
                [](const load::Point& a, const load::Point& b) { return a.x < b.x; });
      plot.series.push_back(std::move(line));
    }
    plots.push_back(std::move(plot));
  }
  return plots;
}

}  // namespace winnow::eval
