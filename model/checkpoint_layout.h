// Which tensors a checkpoint of a ModelConfig holds: names, shapes and what each is for. The one
// place that knows the public naming; the loader checks files against it, tools/random_checkpoint
// writes files from it.
#ifndef WINNOW_MODEL_CHECKPOINT_LAYOUT_H_
#define WINNOW_MODEL_CHECKPOINT_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"

namespace winnow {

enum class TensorRole : uint8_t {
  kEmbedding,        // [vocab, M]
  kHead,             // [vocab, M]
  kProjection,       // [N, K] into a sublayer
  kOutput,           // [M, K] out of a sublayer, onto the residual stream
  kNorm,             // [N]
  kALog,             // [Hv]: log of the decay rate
  kDtBias,           // [Hv]
  kShortConv,        // [C, 1, width]
  kBias,             // [N], of a projection
  kRouterConv,       // [groups * out, in, 1, taps]
  kRouterBias,       // [groups * out]
  kRouterScore,      // [groups, in, 1, 1]
  kRouterScoreBias,  // [groups]
};

struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  TensorRole role = TensorRole::kProjection;
  // Another tensor of the layout that this one is the same as, or empty. A file may leave this one
  // out, or repeat the bytes: tied embeddings, and a router shared by all layers.
  std::string same_as = {};

  int64_t num_elements() const;
};

// In the order of the forward pass.
std::vector<TensorSpec> CheckpointLayout(const ModelConfig& config);

// "model.layers.3."
std::string LayerPrefix(int64_t layer);

// The router's convolutions as kernels/ops/attention.h describes them, without weights.
std::vector<RouterConv> RouterConvShapes(const AttentionConfig& attention);
// Filter banks of the router: one per kv head, or one.
int64_t RouterGroups(const AttentionConfig& attention);

}  // namespace winnow

#endif  // WINNOW_MODEL_CHECKPOINT_LAYOUT_H_
