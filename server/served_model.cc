#include "server/served_model.h"

#include <string>
#include <variant>

namespace winnow {
namespace {

void DescribeWindow(const ModelConfig& config, v1::GetModelInfoResponse* info) {
  for (const LayerConfig& layer : config.layers) {
    const auto* attention = std::get_if<AttentionConfig>(&layer.mixer);
    if (attention == nullptr || !attention->window_size.has_value()) continue;
    info->set_window_tokens(static_cast<uint32_t>(*attention->window_size));
    if (attention->eviction.has_value()) {
      info->set_kept_tokens_per_head(static_cast<uint32_t>(attention->eviction->buffer_size));
    }
    return;  // config.json has one window for all
  }
}

}  // namespace

v1::GetModelInfoResponse DescribeModel(const ModelConfig& config, const StateSpec& spec,
                                       const StatePlan& plan) {
  v1::GetModelInfoResponse info;
  info.set_model_type(config.model_type);
  info.set_vocab_size(config.vocab_size);
  info.set_slot_bytes_per_sequence(plan.slot_bytes);
  info.set_page_bytes(plan.page_bytes);
  if (const auto max_pages = spec.MaxPages(); max_pages.has_value()) {
    info.set_max_pages_per_sequence(*max_pages);
  }
  info.set_max_concurrent_sequences(plan.sequences_for_sure);
  for (const LayerConfig& layer : config.layers) info.add_layer_kinds(std::string(layer.kind()));
  if (spec.grows()) info.set_max_sequence_tokens(*spec.max_sequence_tokens());
  info.set_state_layout(spec.fingerprint());
  info.set_kv_bytes_per_token(spec.kv_bytes_per_token());
  info.set_num_layers(config.layers.size());
  info.set_page_tokens(spec.page_tokens());
  DescribeWindow(config, &info);
  if (const AttentionConfig* attention = config.attention(); attention != nullptr) {
    if (attention->window_size.has_value()) info.set_window_tokens(*attention->window_size);
    if (attention->eviction.has_value()) {
      info.set_kept_tokens_per_head(attention->eviction->buffer_size);
    }
  }
  return info;
}

}  // namespace winnow
