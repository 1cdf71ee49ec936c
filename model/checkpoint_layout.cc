#include "model/checkpoint_layout.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"

namespace winnow {
namespace {

class LayoutBuilder {
 public:
  explicit LayoutBuilder(const ModelConfig& config) : config_(config) {}

  std::vector<TensorSpec> Build() && {
    const int64_t m = config_.hidden_size;
    Add("model.embeddings.weight", {config_.vocab_size, m}, TensorRole::kEmbedding);
    for (size_t i = 0; i < config_.layers.size(); ++i) AddLayer(i);
    Add("model.norm.weight", {m}, TensorRole::kNorm);
    Add("lm_head.weight", {config_.vocab_size, m}, TensorRole::kHead);
    if (config_.tie_word_embeddings) layout_.back().same_as = "model.embeddings.weight";
    return std::move(layout_);
  }

 private:
  void Add(const std::string& name, std::vector<int64_t> shape, TensorRole role) {
    layout_.push_back({.name = prefix_ + name, .shape = std::move(shape), .role = role});
  }

  void AddLayer(int64_t layer) {
    const int64_t m = config_.hidden_size, f = config_.intermediate_size;
    prefix_ = LayerPrefix(layer);
    Add("attn_norm.weight", {m}, TensorRole::kNorm);
    const auto& mixer = config_.layers[layer].mixer;
    if (const auto* gated_delta = std::get_if<GatedDeltaConfig>(&mixer)) {
      AddGatedDelta(*gated_delta);
    } else {
      AddAttention(std::get<AttentionConfig>(mixer));
    }
    Add("mlp_norm.weight", {m}, TensorRole::kNorm);
    Add("mlp.gate_proj.weight", {f, m}, TensorRole::kProjection);
    Add("mlp.up_proj.weight", {f, m}, TensorRole::kProjection);
    Add("mlp.down_proj.weight", {m, f}, TensorRole::kOutput);
    prefix_.clear();
  }

  void AddGatedDelta(const GatedDeltaConfig& c) {
    const int64_t m = config_.hidden_size;
    const int64_t keys = c.num_heads * c.head_dim, values = c.num_v_heads * c.value_dim;
    Add("attn.q_proj.weight", {keys, m}, TensorRole::kProjection);
    Add("attn.k_proj.weight", {keys, m}, TensorRole::kProjection);
    Add("attn.v_proj.weight", {values, m}, TensorRole::kProjection);
    Add("attn.a_proj.weight", {c.num_v_heads, m}, TensorRole::kProjection);
    Add("attn.b_proj.weight", {c.num_v_heads, m}, TensorRole::kProjection);
    if (c.use_short_conv) {
      Add("attn.q_conv1d.weight", {keys, 1, c.conv_size}, TensorRole::kShortConv);
      Add("attn.k_conv1d.weight", {keys, 1, c.conv_size}, TensorRole::kShortConv);
      Add("attn.v_conv1d.weight", {values, 1, c.conv_size}, TensorRole::kShortConv);
    }
    Add("attn.A_log", {c.num_v_heads}, TensorRole::kALog);
    Add("attn.dt_bias", {c.num_v_heads}, TensorRole::kDtBias);
    if (c.use_gate) Add("attn.g_proj.weight", {values, m}, TensorRole::kProjection);
    Add("attn.o_norm.weight", {c.value_dim}, TensorRole::kNorm);
    Add("attn.o_proj.weight", {m, values}, TensorRole::kOutput);
  }

  void AddAttention(const AttentionConfig& c) {
    const int64_t m = config_.hidden_size;
    const int64_t queries = c.num_heads * c.head_dim, keys = c.num_kv_heads * c.head_dim;
    const std::pair<const char*, int64_t> projections[] = {
        {"q", queries}, {"k", keys}, {"v", keys}};
    for (const auto& [name, rows] : projections) {
      Add(absl::StrCat("attn.", name, "_proj.weight"), {rows, m}, TensorRole::kProjection);
      if (c.qkv_bias) Add(absl::StrCat("attn.", name, "_proj.bias"), {rows}, TensorRole::kBias);
    }
    if (c.eviction.has_value()) AddRouter(c);
    Add("attn.o_proj.weight", {m, queries}, TensorRole::kOutput);
  }

  void AddRouter(const AttentionConfig& c) {
    const std::vector<RouterConv> convs = RouterConvShapes(c);
    const int64_t groups = RouterGroups(c);
    const size_t first = layout_.size();
    const std::string stack = "attn.router.conv_stack.";
    for (size_t i = 0; i < convs.size(); ++i) {
      const RouterConv& conv = convs[i];
      Add(absl::StrCat(stack, "convs.", i, ".weight"), {groups * conv.out, conv.in, 1, conv.size},
          TensorRole::kRouterConv);
      Add(absl::StrCat(stack, "convs.", i, ".bias"), {groups * conv.out}, TensorRole::kRouterBias);
    }
    Add(stack + "proj.weight", {groups, convs.back().out, 1, 1}, TensorRole::kRouterScore);
    Add(stack + "proj.bias", {groups}, TensorRole::kRouterScoreBias);
    if (c.eviction->routing_shared == RoutingShared::kAll) ShareRouter(first);
  }

  // The tensors from `first` on are those of the first layer that has a router.
  void ShareRouter(size_t first) {
    if (shared_router_prefix_.empty()) {
      shared_router_prefix_ = prefix_;
      return;
    }
    for (size_t i = first; i < layout_.size(); ++i) {
      layout_[i].same_as = shared_router_prefix_ + layout_[i].name.substr(prefix_.size());
    }
  }

  const ModelConfig& config_;
  std::string prefix_;
  std::string shared_router_prefix_;
  std::vector<TensorSpec> layout_;
};

}  // namespace

int64_t TensorSpec::num_elements() const {
  int64_t n = 1;
  for (const int64_t dim : shape) n *= dim;
  return n;
}

std::string LayerPrefix(int64_t layer) { return absl::StrCat("model.layers.", layer, "."); }

std::vector<RouterConv> RouterConvShapes(const AttentionConfig& attention) {
  WINNOW_CHECK(attention.eviction.has_value());
  const EvictionConfig& eviction = *attention.eviction;
  std::vector<RouterConv> convs;
  int64_t channels = 2 * attention.head_dim;
  for (size_t i = 0; i < eviction.conv_size.size(); ++i) {
    convs.push_back({.in = channels,
                     .out = channels / 2,
                     .size = eviction.conv_size[i],
                     .dilation = eviction.conv_dilation[i]});
    channels /= 2;
  }
  return convs;
}

int64_t RouterGroups(const AttentionConfig& attention) {
  WINNOW_CHECK(attention.eviction.has_value());
  return attention.eviction->routing_shared == RoutingShared::kHead ? attention.num_kv_heads : 1;
}

std::vector<TensorSpec> CheckpointLayout(const ModelConfig& config) {
  return LayoutBuilder(config).Build();
}

}  // namespace winnow
