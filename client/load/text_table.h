// A table for terminals.
#ifndef WINNOW_CLIENT_LOAD_TEXT_TABLE_H_
#define WINNOW_CLIENT_LOAD_TEXT_TABLE_H_

#include <string>
#include <vector>

namespace winnow::load {

using TextRow = std::vector<std::string>;

// The first column to the left, the others to the right. REQUIRES: rows, of equal length.
std::string TextTable(const std::vector<TextRow>& rows);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_TEXT_TABLE_H_
