// The plots of a run's report.
#ifndef WINNOW_CLIENT_LOAD_LOAD_PLOTS_H_
#define WINNOW_CLIENT_LOAD_LOAD_PLOTS_H_

#include <vector>

#include "client/load/load_options.h"
#include "client/load/measured_stage.h"
#include "client/load/svg_plot.h"

namespace winnow::load {

// Shares of requests (or of gaps between tokens) that took at most so many milliseconds; a line for
// each stage. Without the warm-up, slow readers, and what did not complete.
Plot TtftCdf(const LoadOptions& options, const MeasuredRun& run);
Plot InterTokenCdf(const MeasuredRun& run);

// Against the rates (or concurrencies) of several stages.
Plot RequestsAgainstLevel(const MeasuredRun& run);
Plot TokensAgainstLevel(const MeasuredRun& run);
Plot LatencyAgainstLevel(const LoadOptions& options, const MeasuredRun& run);

// Over the whole run, in seconds since its start, with the warm-up: tokens received per second,
// requests open, and each request's time to its first token (but for slow readers) at the time it
// was to be sent.
Plot TokensOverTime(const MeasuredRun& run);
Plot OpenOverTime(const MeasuredRun& run);
Plot TtftOverTime(const MeasuredRun& run);

// (value, share of values up to it), at most about 500 points, the smallest and largest value
// among them. REQUIRES: sorted.
std::vector<Point> CdfPoints(const std::vector<double>& sorted);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_LOAD_PLOTS_H_
