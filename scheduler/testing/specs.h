// State layouts for tests, small enough to run out of.
#ifndef WINNOW_SCHEDULER_TESTING_SPECS_H_
#define WINNOW_SCHEDULER_TESTING_SPECS_H_

#include <cstdint>

#include "kernels/check.h"
#include "model/state_spec.h"

namespace winnow {

struct TestLayers {
  bool gated_delta = true;
  int64_t window = 0;  // sliding window layer of two heads; 0: none
  int64_t buffer = 0;  // window + eviction layer of two heads: kept tokens; 0: none
  bool full = false;   // full attention layer of one head
};

inline StateSpec MakeTestSpec(const TestLayers& layers, int64_t page_tokens,
                              int64_t max_sequence_tokens = 4096) {
  ModelConfig config;
  if (layers.gated_delta) {
    config.layers.push_back({GatedDeltaConfig{
        .num_heads = 1, .num_v_heads = 1, .head_dim = 4, .value_dim = 4, .conv_size = 4}});
  }
  AttentionConfig attention{.num_heads = 2, .num_kv_heads = 2, .head_dim = 4};
  if (layers.window > 0) {
    attention.window_size = layers.window;
    config.layers.push_back({attention});
  }
  if (layers.buffer > 0) {
    attention.window_size = layers.window > 0 ? layers.window : 8;
    attention.eviction =
        EvictionConfig{.conv_size = {3}, .conv_dilation = {1}, .buffer_size = layers.buffer};
    config.layers.push_back({attention});
  }
  if (layers.full) {
    config.layers.push_back({AttentionConfig{.num_heads = 1, .num_kv_heads = 1, .head_dim = 4}});
  }
  auto spec = StateSpec::Create(
      config, {.page_tokens = page_tokens, .max_sequence_tokens = max_sequence_tokens});
  WINNOW_CHECK(spec.ok()) << spec.status();
  return *spec;
}

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_TESTING_SPECS_H_
