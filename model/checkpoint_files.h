// CheckpointFiles: all tensors of a checkpoint directory, from one file or from shards.
//
// A directory holds either model.safetensors, or model.safetensors.index.json with the shards that
// its weight_map names: {"metadata": ..., "weight_map": {tensor: shard}}. Both at once is refused:
// one of them would be stale, and which one nobody can tell.
#ifndef WINNOW_MODEL_CHECKPOINT_FILES_H_
#define WINNOW_MODEL_CHECKPOINT_FILES_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/safetensors.h"

namespace winnow {

inline constexpr char kCheckpointFile[] = "model.safetensors";
inline constexpr char kCheckpointIndexFile[] = "model.safetensors.index.json";

// Owns the mappings that the entries point into. Movable; immutable and thread-safe otherwise.
class CheckpointFiles {
 public:
  // Every shard must hold exactly the tensors that the index gives it. INVALID_ARGUMENT or
  // NOT_FOUND naming the file, and the tensor where there is one.
  static absl::StatusOr<CheckpointFiles> Open(const std::string& directory);

  const SafetensorsEntries& entries() const { return entries_; }

 private:
  std::vector<SafetensorsFile> files_;
  SafetensorsEntries entries_;
};

// The weight_map of an index: shard by tensor name. Shards are plain file names that end in
// .safetensors.
absl::StatusOr<std::map<std::string, std::string>> ParseCheckpointIndex(std::string_view json);

}  // namespace winnow

#endif  // WINNOW_MODEL_CHECKPOINT_FILES_H_
