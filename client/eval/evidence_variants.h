// What evidence is taken of: checkpoints, and what the server makes of one without training.
#ifndef WINNOW_CLIENT_EVAL_EVIDENCE_VARIANTS_H_
#define WINNOW_CLIENT_EVAL_EVIDENCE_VARIANTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace winnow::eval {

struct Checkpoint {
  std::string name;       // "lte"
  std::string directory;  // in Hugging Face layout
};

// The folders in `directory` that have a config.json, by name: lte first, with which the others are
// compared, then gdn, swa, nsa and attn, then any others. NOT_FOUND if there is none.
absl::StatusOr<std::vector<Checkpoint>> FindCheckpoints(const std::string& directory);

// A checkpoint as it is served.
struct ServedVariant {
  std::string name;  // fit for a file's name if the checkpoint's is
  std::string directory;
  std::vector<std::string> flags = {};  // the server's, for experiments
  bool ablation = false;                // not served as it was trained
};

// All checkpoints, then the ablations of those with learned eviction: NAME-buffer8 to
// NAME-buffer128 but for the size that it has anyway, NAME-window (which keeps nothing),
// NAME-recency and NAME-random. Errors name a config.json that cannot be read.
absl::StatusOr<std::vector<ServedVariant>> VariantsOf(const std::vector<Checkpoint>& checkpoints);

}  // namespace winnow::eval

#endif  // WINNOW_CLIENT_EVAL_EVIDENCE_VARIANTS_H_
