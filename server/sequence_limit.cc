#include "server/sequence_limit.h"

#include <algorithm>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/state_plan.h"

namespace winnow {
namespace {

constexpr int64_t kSequences = 4;
constexpr int64_t kShort = 1024;
constexpr int64_t kLongest = int64_t{1} << 20;

// Sequences of `tokens` tokens that fit for sure; 0 if not even one does.
int64_t Fitting(const ModelConfig& config, StateSpecOptions options, int64_t tokens,
                int64_t budget_bytes, int64_t max_sequences) {
  options.max_sequence_tokens = tokens;
  const auto spec = StateSpec::Create(config, options);
  if (!spec.ok()) return 0;
  const auto plan = PlanState(*spec, budget_bytes, max_sequences);
  return plan.ok() ? plan->sequences_for_sure : 0;
}

}  // namespace

bool GrowsWithLength(const ModelConfig& config) {
  return std::any_of(config.layers.begin(), config.layers.end(), [](const LayerConfig& layer) {
    const auto* attention = std::get_if<AttentionConfig>(&layer.mixer);
    return attention != nullptr && !attention->window_size.has_value();
  });
}

absl::StatusOr<int64_t> ChooseSequenceLimit(const ModelConfig& config, StateSpecOptions options,
                                            int64_t budget_bytes, int64_t max_sequences) {
  const auto fitting = [&](int64_t tokens) {
    return Fitting(config, options, tokens, budget_bytes, max_sequences);
  };
  if (fitting(1) == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("--state_memory of ", budget_bytes, " bytes holds no sequence of any length"));
  }
  int64_t wanted = std::min(kSequences, max_sequences);
  if (fitting(kShort) < wanted) wanted = 1;
  int64_t fits = 1, too_long = kLongest + 1;  // more tokens never fit more sequences
  while (too_long - fits > 1) {
    const int64_t middle = fits + (too_long - fits) / 2;
    (fitting(middle) >= wanted ? fits : too_long) = middle;
  }
  return fits;
}

}  // namespace winnow
