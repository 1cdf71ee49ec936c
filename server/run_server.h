// The life of the server process: load, serve, end in order. What main does after reading its
// flags.
#ifndef WINNOW_SERVER_RUN_SERVER_H_
#define WINNOW_SERVER_RUN_SERVER_H_

#include "server/options.h"
#include "server/served_model.h"
#include "server/stop_events.h"

namespace winnow {

// Exit codes, besides 0 for an end by signal.
inline constexpr int kExitCannotStart = 1;
inline constexpr int kExitDeviceLost = 3;

// Loads the model and serves it. To be called by the main thread, before there are others. Returns
// the exit code.
int RunServer(const Options& options);

// Serves until SIGTERM or SIGINT: then NOT_SERVING at once, calls are taken for another
// --shutdown_delay, then new and queued ones are refused and running ones may finish within
// --drain_timeout. A second signal skips all waiting. Prints one line per address on stdout once
// calls are taken; everything else goes to stderr. Returns the exit code.
int ServeUntilStopped(const Options& options, const ServedModel& served, StopEvents& events);

}  // namespace winnow

#endif  // WINNOW_SERVER_RUN_SERVER_H_
