// The --experiment_* flags: a checkpoint served otherwise than it was trained, to measure what its
// learned choice of tokens is worth (docs/evidence.md).
#ifndef WINNOW_SERVER_EXPERIMENTS_H_
#define WINNOW_SERVER_EXPERIMENTS_H_

#include "absl/status/status.h"
#include "model/config.h"
#include "server/options.h"

namespace winnow {

// Gives all layers with learned eviction the buffer and the retention that the flags ask for, and
// logs a warning for each; without such flags nothing changes. INVALID_ARGUMENT names the flag if
// the model has no such layer.
absl::Status ApplyExperiments(const Options& options, ModelConfig* config);

}  // namespace winnow

#endif  // WINNOW_SERVER_EXPERIMENTS_H_
