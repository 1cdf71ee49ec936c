// ModelConfig: what config.json says, validated, immutable.
//
// Every field that changes the maths is understood or refused by name; nothing is ignored silently.
// A layer's kind and parameters are its own LayerConfig, so hybrids need no model class of their
// own.
#ifndef WINNOW_MODEL_CONFIG_H_
#define WINNOW_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/ops/attention.h"

namespace winnow {

// Gated DeltaNet (arXiv 2412.06464).
struct GatedDeltaConfig {
  int64_t num_heads = 0;    // q and k heads
  int64_t num_v_heads = 0;  // a multiple of num_heads
  int64_t head_dim = 0;     // Dk
  int64_t value_dim = 0;    // Dv = head_dim * expand_v, which is a whole number
  int64_t conv_size = 0;    // short convolutions' width; used when use_short_conv
  bool use_short_conv = true;
  bool use_gate = true;
  bool allow_neg_eigval = false;
};

enum class RoutingShared : uint8_t { kHead, kLayer, kAll };

// Learnable token eviction (arXiv 2510.20787).
struct EvictionConfig {
  std::vector<int64_t> conv_size;      // taps of each router convolution
  std::vector<int64_t> conv_dilation;  // same length
  int64_t buffer_size = 0;             // kept slots per kv head, >= 0
  int64_t sink_size = 0;               // first tokens of the sequence, always kept
  RoutingMethod routing_method = RoutingMethod::kSigmoid;
  uint64_t random_seed = 0;  // of RoutingMethod::kRandom, which no config.json asks for
  RoutingShared routing_shared = RoutingShared::kHead;
};

struct AttentionConfig {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // divides num_heads
  int64_t head_dim = 0;      // even
  bool qkv_bias = false;
  double rope_theta = 10000;
  std::optional<int64_t> window_size = std::nullopt;  // none: every token is seen
  std::optional<EvictionConfig> eviction =
      std::nullopt;  // only with window_size >= the router's look-ahead

  // Tokens a query sees without eviction, itself included: V of kernels/ops/attention.h.
  int64_t span() const {
    if (!window_size.has_value()) return kNeverExpires;
    return eviction.has_value() ? *window_size + 1 : *window_size;
  }
};

struct LayerConfig {
  std::variant<GatedDeltaConfig, AttentionConfig> mixer;
  // "gdn", "lte", "swa", "attention".
  std::string_view kind() const;
};

struct ModelConfig {
  std::string model_type;  // "gated_deltanet", "hybrid_gated_deltanet"
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  float norm_eps = 0;
  bool tie_word_embeddings = false;
  std::vector<LayerConfig> layers;
  // eos_token_id of config.json: one id, a list, or null for none; 2 when absent.
  std::vector<uint32_t> eos_token_ids;
  std::optional<uint32_t> bos_token_id = std::nullopt;

  // What all attention layers share (config.json has one `attn` block); null without such layers.
  const AttentionConfig* attention() const {
    for (const LayerConfig& layer : layers) {
      if (const auto* attention = std::get_if<AttentionConfig>(&layer.mixer)) return attention;
    }
    return nullptr;
  }
};

// Parses and validates the text of a config.json. INVALID_ARGUMENT names the field, its value and
// what is allowed; UNIMPLEMENTED names model and attention types that exist but are not served.
// Absent fields have the published defaults; fields that matter for training only are skipped, and
// so is max_position_embeddings, which is no limit of these models; any other field is refused.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json);
// The same from a file; NOT_FOUND or INVALID_ARGUMENT with the path.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path);

}  // namespace winnow

#endif  // WINNOW_MODEL_CONFIG_H_
