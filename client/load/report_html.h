// A run as one HTML page that needs nothing else: tables and plots as inline SVG, no script,
// nothing loaded from anywhere. It is well-formed XML too.
#ifndef WINNOW_CLIENT_LOAD_REPORT_HTML_H_
#define WINNOW_CLIENT_LOAD_REPORT_HTML_H_

#include <string>

#include "client/load/load_options.h"
#include "client/load/measured_stage.h"

namespace winnow::load {

std::string RunToHtml(const LoadOptions& options, const MeasuredRun& run);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_REPORT_HTML_H_
