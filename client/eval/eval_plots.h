// The pictures of an evaluation's report.
#ifndef WINNOW_CLIENT_EVAL_EVAL_PLOTS_H_
#define WINNOW_CLIENT_EVAL_EVAL_PLOTS_H_

#include <cstdint>
#include <vector>

#include "client/eval/heat_map.h"
#include "client/eval/results.h"
#include "client/load/svg_plot.h"

namespace winnow::eval {

// Exact answers of one variant on single facts: depth by length, as far as it was asked. Both lists
// are empty if it was not.
HeatMap SingleFacts(const EvalResult& result, const VariantResult& variant);

// Exact answers in percent over the number of facts, a line for each variant; a plot for each
// length of multi_key's prompts.
std::vector<load::Plot> OverFacts(const EvalResult& result);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVAL_PLOTS_H_
