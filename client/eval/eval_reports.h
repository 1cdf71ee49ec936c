// An evaluation as text for terminals, as Markdown, and as one HTML page that needs nothing else.
#ifndef WINNOW_CLIENT_EVAL_EVAL_REPORTS_H_
#define WINNOW_CLIENT_EVAL_EVAL_REPORTS_H_

#include <string>

#include "client/eval/results.h"

namespace winnow::eval {

// Exact answers, what the variants are, and what failed.
std::string ResultToText(const EvalResult& result);

// All tables, as a part of a page: headings are of the third level.
std::string ResultToMarkdown(const EvalResult& result);

// All tables, heat maps and curves.
std::string ResultToHtml(const EvalResult& result);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVAL_REPORTS_H_
