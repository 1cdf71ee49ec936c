#include "server/experiments.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/ops/position_score.h"
#include "server/flag_set.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

std::vector<EvictionConfig*> Evictions(ModelConfig* config) {
  std::vector<EvictionConfig*> evictions;
  for (LayerConfig& layer : config->layers) {
    auto* attention = std::get_if<AttentionConfig>(&layer.mixer);
    if (attention == nullptr || !attention->eviction.has_value()) continue;
    evictions.push_back(&*attention->eviction);
  }
  return evictions;
}

absl::Status Announce(absl::string_view flag, const std::string& value,
                      const std::vector<EvictionConfig*>& evictions) {
  if (evictions.empty()) return BadFlag(flag, value, "the model has no learned eviction");
  spdlog::warn("experiment, not for serving: --{}={}", std::string(flag), value);
  return absl::OkStatus();
}

absl::Status SetBuffers(int64_t size, const std::vector<EvictionConfig*>& evictions) {
  for (EvictionConfig* eviction : evictions) eviction->buffer_size = size;
  return Announce("experiment_buffer_size", absl::StrCat(size), evictions);
}

absl::Status SetRetention(const std::string& retention, uint64_t seed,
                          const std::vector<EvictionConfig*>& evictions) {
  for (EvictionConfig* eviction : evictions) {
    eviction->routing_method =
        retention == "recency" ? RoutingMethod::kRecency : RoutingMethod::kRandom;
    // Layers draw samples of their own.
    eviction->random_seed = seed = MixBits(seed);
  }
  return Announce("experiment_retention", retention, evictions);
}

}  // namespace

absl::Status ApplyExperiments(const Options& options, ModelConfig* config) {
  const std::vector<EvictionConfig*> evictions = Evictions(config);
  absl::Status status;
  if (options.experiment_buffer_size.has_value()) {
    status.Update(SetBuffers(*options.experiment_buffer_size, evictions));
  }
  if (options.experiment_retention != "learned") {
    status.Update(SetRetention(options.experiment_retention,
                               static_cast<uint64_t>(options.experiment_seed), evictions));
  }
  return status;
}

}  // namespace winnow
