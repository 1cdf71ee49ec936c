#include "model/activations.h"

#include <utility>
#include <variant>

#include "kernels/check.h"

namespace winnow {
namespace {

constexpr int64_t kAlignment = 256;

// Bytes of the largest sublayer's scratch.
int64_t ScratchBytes(const ModelConfig& config, int64_t max_tokens, int64_t max_sequences) {
  int64_t most = 0;
  const auto measure = [&](auto carve) {
    Arena arena;
    carve(arena);
    most = std::max(most, arena.used_bytes());
  };
  for (const LayerConfig& layer : config.layers) {
    measure([&](Arena& arena) {
      if (const auto* gated_delta = std::get_if<GatedDeltaConfig>(&layer.mixer)) {
        GatedDeltaScratch(arena, *gated_delta, max_tokens);
      } else {
        AttentionScratch(arena, std::get<AttentionConfig>(layer.mixer), max_tokens, max_sequences);
      }
    });
  }
  measure([&](Arena& arena) { MlpScratch(arena, config.intermediate_size, max_tokens); });
  measure([&](Arena& arena) { LogitsScratch(arena, config.hidden_size, config.vocab_size); });
  return most;
}

}  // namespace

TensorView Arena::Take(DType dtype, std::initializer_list<int64_t> shape) {
  std::byte* data = data_ == nullptr ? nullptr : data_ + used_bytes_;
  const TensorView view = TensorView::Of(data, dtype, shape);
  used_bytes_ += (view.size() * DTypeBytes(dtype) + kAlignment - 1) / kAlignment * kAlignment;
  WINNOW_CHECK(data_ == nullptr || used_bytes_ <= size_bytes_)
      << used_bytes_ << " bytes of " << size_bytes_;
  return view;
}

GatedDeltaScratch::GatedDeltaScratch(Arena& arena, const GatedDeltaConfig& c, int64_t t) {
  q_in = arena.Take(DType::kF32, {t, c.num_heads, c.head_dim});
  k_in = arena.Take(DType::kF32, {t, c.num_heads, c.head_dim});
  v_in = arena.Take(DType::kF32, {t, c.num_v_heads, c.value_dim});
  q = c.use_short_conv ? arena.Take(DType::kF32, {t, c.num_heads, c.head_dim}) : q_in;
  k = c.use_short_conv ? arena.Take(DType::kF32, {t, c.num_heads, c.head_dim}) : k_in;
  v = c.use_short_conv ? arena.Take(DType::kF32, {t, c.num_v_heads, c.value_dim}) : v_in;
  a = arena.Take(DType::kF32, {t, c.num_v_heads});
  b = arena.Take(DType::kF32, {t, c.num_v_heads});
  if (c.use_gate) gate = arena.Take(DType::kF32, {t, c.num_v_heads, c.value_dim});
  out = arena.Take(DType::kF32, {t, c.num_v_heads, c.value_dim});
}

AttentionScratch::AttentionScratch(Arena& arena, const AttentionConfig& c, int64_t t, int64_t b) {
  q = arena.Take(DType::kF32, {t, c.num_heads, c.head_dim});
  k = arena.Take(DType::kF32, {t, c.num_kv_heads, c.head_dim});
  v = arena.Take(DType::kF32, {t, c.num_kv_heads, c.head_dim});
  out = arena.Take(DType::kF32, {t, c.num_heads, c.head_dim});
  if (!c.eviction.has_value()) return;
  scores = arena.Take(DType::kF32, {t, c.num_kv_heads});
  const int64_t buffer = c.eviction->buffer_size;
  const auto take_i64 = [&](std::initializer_list<int64_t> shape) {
    return static_cast<int64_t*>(arena.Take(DType::kI64, shape).raw);
  };
  plan.kept_before = static_cast<int32_t*>(arena.Take(DType::kI32, {b, c.num_kv_heads}).raw);
  plan.kept_expiry = take_i64({b, c.num_kv_heads, buffer});
  plan.ring_expiry = take_i64({b, c.num_kv_heads, c.span()});
  plan.chunk_expiry = take_i64({t, c.num_kv_heads});
  plan.source = take_i64({b, c.num_kv_heads, buffer});
}

MlpScratch::MlpScratch(Arena& arena, int64_t intermediate_size, int64_t t) {
  gate = arena.Take(DType::kF32, {t, intermediate_size});
  up = arena.Take(DType::kF32, {t, intermediate_size});
}

LogitsScratch::LogitsScratch(Arena& arena, int64_t hidden_size, int64_t vocab_size) {
  hidden = arena.Take(DType::kF32, {kLogitsBlockRows, hidden_size});
  logits = arena.Take(DType::kF32, {kLogitsBlockRows, vocab_size});
  rows = arena.Take(DType::kI32, {kLogitsBlockRows});
}

void Activations::CarveNamed(Arena& arena, const ModelConfig& config, int64_t max_tokens,
                             int64_t max_sequences) {
  tokens = arena.Take(DType::kI32, {max_tokens});
  positions = arena.Take(DType::kI64, {max_tokens});
  row_offsets = arena.Take(DType::kI32, {max_sequences + 1});
  slots = arena.Take(DType::kI32, {max_sequences});
  residual = arena.Take(DType::kF32, {max_tokens, config.hidden_size});
  normed = arena.Take(DType::kF32, {max_tokens, config.hidden_size});
  delta = arena.Take(DType::kF32, {max_tokens, config.hidden_size});
  if (const AttentionConfig* attention = config.attention()) {
    cos_sin = arena.Take(DType::kF32, {max_tokens, 2, attention->head_dim / 2});
  }
}

absl::StatusOr<Activations> Activations::Create(Backend* backend, const ModelConfig& config,
                                                int64_t max_tokens, int64_t max_sequences) {
  WINNOW_CHECK(max_tokens >= 1 && max_sequences >= 1) << max_tokens << " " << max_sequences;
  Activations activations;
  Arena measure;
  activations.CarveNamed(measure, config, max_tokens, max_sequences);
  activations.scratch_bytes_ = ScratchBytes(config, max_tokens, max_sequences);

  auto memory = backend->Allocate(measure.used_bytes() + activations.scratch_bytes_);
  if (!memory.ok()) return memory.status();
  activations.memory_ = *std::move(memory);
  Arena named(activations.memory_.data(), measure.used_bytes());
  activations.CarveNamed(named, config, max_tokens, max_sequences);
  activations.scratch_ = activations.memory_.data() + measure.used_bytes();
  return activations;
}

}  // namespace winnow
