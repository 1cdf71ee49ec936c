// Writes a random checkpoint for any config.json that the engine can load: for benchmarks and
// tests.
//
// The files' content depends on the config, the seed, the dtype and the shard size only.
#ifndef WINNOW_TOOLS_RANDOM_CHECKPOINT_LIB_H_
#define WINNOW_TOOLS_RANDOM_CHECKPOINT_LIB_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "kernels/dtype.h"

namespace winnow {

struct RandomCheckpointOptions {
  uint64_t seed = 1;
  // Of everything but A_log and dt_bias, which are float32 as in published checkpoints: BF16, F16
  // or F32.
  DType dtype = DType::kBF16;
  // Replace a checkpoint that is there already, whichever form it has.
  bool overwrite = false;
  // Shards of at most this many bytes of tensors (one tensor may be more) with their index; none:
  // one file.
  std::optional<int64_t> shard_bytes = {};
  int threads = 2;
  // Called now and then, by one thread at a time, with bytes written and bytes in all.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

// Writes config.json (this very text) and the tensors into `directory`, which is made if it does
// not exist. Files get their names when all of them are complete; after an error none of them is
// left. INVALID_ARGUMENT for a config that the engine would refuse, ALREADY_EXISTS,
// RESOURCE_EXHAUSTED.
absl::Status WriteRandomCheckpoint(const std::string& config_json, const std::string& directory,
                                   const RandomCheckpointOptions& options);

}  // namespace winnow

#endif  // WINNOW_TOOLS_RANDOM_CHECKPOINT_LIB_H_
