#include "client/eval/eval_table.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace winnow::eval {
namespace {

// A table's column: cells that are counted together.
struct Column {
  std::string title;
  std::vector<size_t> cells = {};
};

struct ColumnGroup {
  std::string title;
  std::vector<Column> columns = {};
};

std::string GroupOf(const Cell& cell) {
  if (cell.task == Task::kSingle) return "Single facts, by tokens of the prompt";
  if (cell.task != Task::kMultiKey) return "Other tasks";
  return absl::StrCat("One of many facts in ", cell.tokens, " tokens, by number of facts");
}

std::string ColumnOf(const Cell& cell) {
  if (cell.task == Task::kSingle) return absl::StrCat(cell.tokens);
  if (cell.task == Task::kMultiKey) return absl::StrCat(cell.facts);
  return absl::StrCat(NameOf(cell.task), " in ", cell.tokens, " tokens");
}

// The element with this title, added if there is none.
template <typename T>
T& Titled(const std::string& title, std::vector<T>* all) {
  const auto place =
      std::find_if(all->begin(), all->end(), [&](const T& one) { return one.title == title; });
  if (place != all->end()) return *place;
  all->push_back({title});
  return all->back();
}

std::vector<ColumnGroup> Groups(const EvalResult& result) {
  std::vector<ColumnGroup> groups;
  for (size_t i = 0; i < result.cells.size(); ++i) {
    ColumnGroup& group = Titled(GroupOf(result.cells[i]), &groups);
    Titled(ColumnOf(result.cells[i]), &group.columns).cells.push_back(i);
  }
  return groups;
}

CellResult Together(const VariantResult& variant, const Column& column) {
  CellResult sum;
  for (const size_t cell : column.cells) sum.AddCounts(variant.cells[cell]);
  return sum;
}

std::string WithFailures(std::string text, const CellResult& cell) {
  if (cell.failed == 0) return text;
  if (cell.texts == 0) return absl::StrCat(cell.failed, " failed");
  return absl::StrCat(text, ", ", cell.failed, " failed");
}

std::string Percent(const CellResult& cell, double share, const Interval& interval) {
  if (cell.texts == 0) return WithFailures("-", cell);
  return WithFailures(absl::StrFormat("%.1f%% (%.1f-%.1f) of %d", 100 * share, 100 * interval.low,
                                      100 * interval.high, cell.texts),
                      cell);
}

std::string GapOf(const CellResult& first, const CellResult& other) {
  if (first.texts == 0 || other.texts == 0) return "-";
  const Interval gap =
      Gap95({first.exact_share(), first.texts}, {other.exact_share(), other.texts});
  return absl::StrFormat("%+.1f (%+.1f to %+.1f)",
                         100 * (first.exact_share() - other.exact_share()), 100 * gap.low,
                         100 * gap.high);
}

std::string FigureOf(const EvalResult& result, size_t variant, const Column& column,
                     Figure figure) {
  const CellResult cell = Together(result.variants[variant], column);
  switch (figure) {
    case Figure::kExact:
      return Percent(cell, cell.exact_share(), cell.exact_interval());
    case Figure::kDigits:
      return Percent(cell, cell.digit_share(), cell.digit_interval());
    case Figure::kGap:
      return GapOf(Together(result.variants[0], column), cell);
  }
  return "";
}

bool WasAsked(const VariantResult& variant, const ColumnGroup& group) {
  return std::any_of(group.columns.begin(), group.columns.end(), [&](const Column& column) {
    const CellResult cell = Together(variant, column);
    return cell.texts + cell.failed > 0;
  });
}

Table ResultTable(const EvalResult& result, const ColumnGroup& group, Figure figure) {
  Table table = {group.title, {{"variant"}}};
  for (const Column& column : group.columns) table.rows[0].push_back(column.title);
  for (size_t v = figure == Figure::kGap ? 1 : 0; v < result.variants.size(); ++v) {
    if (!WasAsked(result.variants[v], group)) continue;
    table.rows.push_back({result.variants[v].name});
    for (const Column& column : group.columns) {
      table.rows.back().push_back(FigureOf(result, v, column, figure));
    }
  }
  return table;
}

// "3 gdn, 3 lte".
std::string Layers(const v1::GetModelInfoResponse& info) {
  std::map<std::string, int> counts;
  for (const std::string& kind : info.layer_kinds()) ++counts[kind];
  return absl::StrJoin(counts, ", ", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, entry.second, " ", entry.first);
  });
}

template <typename T>
std::string OrDash(bool has, T value) {
  return has ? absl::StrCat(value) : "-";
}

std::string Microseconds(const std::optional<TokenTimes>& times, double TokenTimes::*which) {
  return times.has_value() ? absl::StrFormat("%.1f", (*times).*which) : "-";
}

Row VariantRow(const VariantResult& variant, const std::set<int64_t>& lengths) {
  const v1::GetModelInfoResponse& info = variant.info;
  const double rate =
      variant.seconds > 0 ? static_cast<double>(variant.prompt_tokens) / variant.seconds : 0;
  Row row = {variant.name,
             absl::StrFormat("%.1fM", static_cast<double>(info.num_parameters()) * 1e-6),
             Layers(info), OrDash(info.has_window_tokens(), info.window_tokens()),
             OrDash(info.has_kept_tokens_per_head(), info.kept_tokens_per_head())};
  for (const int64_t length : lengths) row.push_back(absl::StrCat(StateBytes(info, length)));
  row.insert(row.end(),
             {Microseconds(variant.times, &TokenTimes::prompt_us),
              Microseconds(variant.times, &TokenTimes::output_us), absl::StrFormat("%.0f", rate)});
  return row;
}

}  // namespace

std::vector<Table> ResultTables(const EvalResult& result, Figure figure) {
  std::vector<Table> tables;
  if (figure == Figure::kGap && result.variants.size() < 2) return tables;
  for (const ColumnGroup& group : Groups(result)) {
    Table table = ResultTable(result, group, figure);
    if (table.rows.size() > 1) tables.push_back(std::move(table));
  }
  return tables;
}

Table VariantTable(const EvalResult& result) {
  std::set<int64_t> lengths;
  for (const Cell& cell : result.cells) lengths.insert(cell.tokens);
  // The shortest and the longest show whether it grows.
  if (lengths.size() > 2) lengths.erase(std::next(lengths.begin()), std::prev(lengths.end()));
  Table table = {"Variants", {{"variant", "params", "layers", "window", "kept"}}};
  for (const int64_t length : lengths) {
    table.rows[0].push_back(absl::StrCat("bytes at ", length));
  }
  table.rows[0].insert(table.rows[0].end(), {"us/prompt token", "us/output token", "tokens/s"});
  for (const VariantResult& variant : result.variants) {
    table.rows.push_back(VariantRow(variant, lengths));
  }
  return table;
}

Table ErrorTable(const EvalResult& result) {
  Table table = {"Failed requests", {{"variant", "failed", "why"}}};
  for (const VariantResult& variant : result.variants) {
    for (const auto& [error, count] : variant.errors) {
      table.rows.push_back({variant.name, absl::StrCat(count), error});
    }
  }
  return table;
}

}  // namespace winnow::eval
