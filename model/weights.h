// Weights: a model's parameters, immutable after load, shared by reference.
//
// Matrices stay in the checkpoint's format (BF16, F16 or F32) in the memory-mapped files, so
// loading takes as long as reading the headers; one whose place in the file is not aligned to its
// elements is copied. Vectors (norms, biases, convolution taps, decays) and the router's
// convolutions are copied to float32, the latter repacked as kernels/ops/attention.h asks. Layers
// are held by kind: GatedDeltaWeights or AttentionWeights, in step with ModelConfig::layers.
#ifndef WINNOW_MODEL_WEIGHTS_H_
#define WINNOW_MODEL_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/dtype.h"
#include "kernels/ops/attention.h"
#include "kernels/weight_matrix.h"
#include "model/checkpoint_files.h"
#include "model/config.h"

namespace winnow {

struct GatedDeltaWeights {
  WeightMatrix q, k;                // [num_heads * head_dim, M]
  WeightMatrix v;                   // [num_v_heads * value_dim, M]
  WeightMatrix a, b;                // [num_v_heads, M]
  WeightMatrix gate;                // [num_v_heads * value_dim, M], if use_gate
  WeightMatrix out;                 // [M, num_v_heads * value_dim]
  const float* a_log = nullptr;     // [num_v_heads]
  const float* dt_bias = nullptr;   // [num_v_heads]
  const float* out_norm = nullptr;  // [value_dim]
  const float* q_conv = nullptr;    // [channels, conv_size], if use_short_conv
  const float* k_conv = nullptr;
  const float* v_conv = nullptr;
};

struct AttentionWeights {
  WeightMatrix q;                       // [num_heads * head_dim, M]
  WeightMatrix k, v;                    // [num_kv_heads * head_dim, M]
  WeightMatrix out;                     // [M, num_heads * head_dim]
  std::optional<RouterWeights> router;  // with eviction
};

struct LayerWeights {
  const float* mixer_norm = nullptr;  // [M]
  std::variant<GatedDeltaWeights, AttentionWeights> mixer;
  const float* mlp_norm = nullptr;  // [M]
  WeightMatrix mlp_gate, mlp_up;    // [F, M]
  WeightMatrix mlp_down;            // [M, F]
};

// An array of weights in memory that a Weights owns.
struct WeightBlock {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t count = 0;
  bool is_matrix = false;  // of a WeightMatrix; else float32
};

class Weights {
 public:
  // Maps model.safetensors, or the shards that model.safetensors.index.json names, in `directory`.
  // Every tensor that the config calls for must be there with its shape, in BF16, F16 or F32, and
  // no other, except `model.l1_lambda` and `model.num_kept`, which the published training code
  // leaves behind. A tensor that is the same as another one (lm_head.weight when tied; the router
  // of all but the first layer when routing_shared is "all") may be left out; if it is there, its
  // bytes must be equal. NaN and infinity are refused in everything that is copied to float32;
  // matrices are not scanned. Errors name the tensor (INVALID_ARGUMENT, NOT_FOUND).
  static absl::StatusOr<std::unique_ptr<const Weights>> Load(const std::string& directory,
                                                             const ModelConfig& config);

  WeightMatrix embeddings;            // [vocab, M]
  WeightMatrix head;                  // [vocab, M]; the embeddings' own when tied
  const float* final_norm = nullptr;  // [M]
  std::vector<LayerWeights> layers;

  // All that the views above point to.
  std::vector<WeightBlock> blocks;

  int64_t num_parameters = 0;  // of the checkpoint, shared ones once
  int64_t size_bytes = 0;      // of matrices and float32 copies, as a step reads them

 private:
  friend class WeightsBuilder;
  friend class WeightsPlacer;

  CheckpointFiles files_;                                     // mapped memory of the matrices
  std::vector<std::unique_ptr<float[]>> converted_;           // float32 copies
  std::vector<std::unique_ptr<std::byte[]>> aligned_copies_;  // matrices that lay misaligned
  DeviceBuffer device_;  // all of them, when they were placed on a device
};

}  // namespace winnow

#endif  // WINNOW_MODEL_WEIGHTS_H_
