// A run as a table for a terminal.
#ifndef WINNOW_CLIENT_LOAD_REPORT_TEXT_H_
#define WINNOW_CLIENT_LOAD_REPORT_TEXT_H_

#include <string>

#include "client/load/load_options.h"
#include "client/load/measured_stage.h"

namespace winnow::load {

// One column per figure and one line per stage of counts, rates and latencies; then what went
// wrong, how late the client was, and what it cost.
std::string RunToText(const LoadOptions& options, const MeasuredRun& run);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_REPORT_TEXT_H_
