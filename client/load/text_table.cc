#include "client/load/text_table.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_format.h"

namespace winnow::load {

std::string TextTable(const std::vector<TextRow>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const TextRow& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const TextRow& row : rows) {
    absl::StrAppendFormat(&text, "  %-*s", static_cast<int>(widths[0]), row[0]);
    for (size_t i = 1; i < row.size(); ++i) {
      absl::StrAppendFormat(&text, "  %*s", static_cast<int>(widths[i]), row[i]);
    }
    text += '\n';
  }
  return text;
}

}  // namespace winnow::load
