// The tables that an evaluation's reports have in common: as texts, to be laid out.
#ifndef WINNOW_CLIENT_EVAL_EVAL_TABLE_H_
#define WINNOW_CLIENT_EVAL_EVAL_TABLE_H_

#include <string>
#include <vector>

#include "client/eval/results.h"

namespace winnow::eval {

using Row = std::vector<std::string>;  // of cells

struct Table {
  std::string title;
  std::vector<Row> rows;  // the first one is the head
};

enum class Figure {
  kExact,   // texts whose answers are all exact, in percent
  kDigits,  // right digits, in percent
  kGap,     // the first variant's exact texts less another's, in percentage points
};

// A row for each variant (kGap: but the first) that was asked any of the table: figures with their
// 95% intervals and the number of texts, and how many failed. Single facts by length, at all depths
// together; one of many facts by their number, a table for each length; all other tasks. Tables
// without rows are left out.
std::vector<Table> ResultTables(const EvalResult& result, Figure figure);

// What each variant is, the state that a sequence takes, and its speed.
Table VariantTable(const EvalResult& result);

// A row for each kind of error of each variant; a head alone if there are none.
Table ErrorTable(const EvalResult& result);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVAL_TABLE_H_
