#include "model/activations.h"

#include <utility>
#include <variant>

#include "kernels/check.h"
#include "model/step_tables.h"

namespace winnow {
namespace {

constexpr int64_t kAlignment = 256;

// Bytes of the largest sublayer's scratch.
int64_t ScratchBytes(const ModelConfig& config, const ActivationLimits& limits,
                     const ActivationLayout& layout) {
  const int64_t max_tokens = limits.max_tokens;
  int64_t most = 0;
  const auto measure = [&](auto carve) {
    Arena arena;
    carve(arena);
    most = std::max(most, arena.used_bytes());
  };
  for (const LayerConfig& layer : config.layers) {
    measure([&](Arena& arena) {
      if (const auto* gated_delta = std::get_if<GatedDeltaConfig>(&layer.mixer)) {
        GatedDeltaScratch(arena, *gated_delta, max_tokens, layout);
      } else {
        AttentionScratch(arena, std::get<AttentionConfig>(layer.mixer), max_tokens,
                         limits.max_sequences, layout);
      }
    });
  }
  measure([&](Arena& arena) { MlpScratch(arena, config.intermediate_size, max_tokens, layout); });
  measure([&](Arena& arena) {
    LogitsScratch(arena, config.hidden_size, config.vocab_size, limits.logits_block_rows, layout);
  });
  return most;
}

int64_t NumKeptLists(const ModelConfig& config) {
  int64_t lists = 0;
  for (const LayerConfig& layer : config.layers) {
    const auto* attention = std::get_if<AttentionConfig>(&layer.mixer);
    if (attention != nullptr && attention->eviction.has_value()) lists += attention->num_kv_heads;
  }
  return lists;
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

std::vector<TensorView> Arena::TakeColumns(const ActivationLayout& layout, int64_t rows,
                                           std::initializer_list<int64_t> sizes) {
  std::vector<TensorView> columns;
  if (!layout.joined) {
    for (const int64_t size : sizes) columns.push_back(Take(layout.dtype, {rows, size}));
    return columns;
  }
  int64_t row_size = 0;
  for (const int64_t size : sizes) row_size += size;
  TensorView column = Take(layout.dtype, {rows, row_size});
  for (const int64_t size : sizes) {
    column.shape[1] = size;
    columns.push_back(column);
    if (data_ == nullptr) continue;
    column.raw = static_cast<std::byte*>(column.raw) + size * DTypeBytes(layout.dtype);
  }
  return columns;
}

GatedDeltaScratch::GatedDeltaScratch(Arena& arena, const GatedDeltaConfig& c, int64_t t,
                                     const ActivationLayout& layout) {
  const int64_t keys = c.num_heads * c.head_dim, values = c.num_v_heads * c.value_dim;
  const auto in = arena.TakeColumns(layout, t, {keys, keys, values, c.use_gate ? values : 0});
  q_in = in[0].Rows({c.num_heads, c.head_dim});
  k_in = in[1].Rows({c.num_heads, c.head_dim});
  v_in = in[2].Rows({c.num_v_heads, c.value_dim});
  if (c.use_gate) gate = in[3].Rows({c.num_v_heads, c.value_dim});
  q = c.use_short_conv ? arena.Take(layout.dtype, {t, c.num_heads, c.head_dim}) : q_in;
  k = c.use_short_conv ? arena.Take(layout.dtype, {t, c.num_heads, c.head_dim}) : k_in;
  v = c.use_short_conv ? arena.Take(layout.dtype, {t, c.num_v_heads, c.value_dim}) : v_in;
  const auto gates = arena.TakeColumns({.dtype = DType::kF32, .joined = layout.joined}, t,
                                       {c.num_v_heads, c.num_v_heads});
  a = gates[0];
  b = gates[1];
  out = arena.Take(layout.dtype, {t, c.num_v_heads, c.value_dim});
}

AttentionScratch::AttentionScratch(Arena& arena, const AttentionConfig& c, int64_t t, int64_t b,
                                   const ActivationLayout& layout) {
  const int64_t keys = c.num_kv_heads * c.head_dim;
  const auto in = arena.TakeColumns(layout, t, {c.num_heads * c.head_dim, keys, keys});
  q = in[0].Rows({c.num_heads, c.head_dim});
  k = in[1].Rows({c.num_kv_heads, c.head_dim});
  v = in[2].Rows({c.num_kv_heads, c.head_dim});
  rotated = {q, k};
  if (layout.joined) {
    rotated = {q};
    rotated[0].shape[1] += c.num_kv_heads;
  }
  out = arena.Take(layout.dtype, {t, c.num_heads, c.head_dim});
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

MlpScratch::MlpScratch(Arena& arena, int64_t intermediate_size, int64_t t,
                       const ActivationLayout& layout) {
  const auto in = arena.TakeColumns(layout, t, {intermediate_size, intermediate_size});
  gate = in[0];
  up = in[1];
}

LogitsScratch::LogitsScratch(Arena& arena, int64_t hidden_size, int64_t vocab_size,
                             int64_t num_rows, const ActivationLayout& layout) {
  hidden = arena.Take(layout.dtype, {num_rows, hidden_size});
  logits = arena.Take(DType::kF32, {num_rows, vocab_size});
}

void Activations::CarveNamed(Arena& arena, const ModelConfig& config,
                             const ActivationLimits& limits, const ActivationLayout& layout) {
  const int64_t t = limits.max_tokens, b = limits.max_sequences, r = limits.logits_block_rows;
  tables = arena.Take(DType::kI32, {StepTables::MaxBytes(t, b, r) / 4});
  logits_rows = arena.Take(DType::kI32, {r});
  const int64_t kept_lists = NumKeptLists(config);
  if (kept_lists > 0) kept_counts = arena.Take(DType::kI32, {b, kept_lists});
  ring_counts = arena.Take(DType::kI32, {b});
  residual = arena.Take(DType::kF32, {t, config.hidden_size});
  normed = arena.Take(layout.dtype, {t, config.hidden_size});
  delta = arena.Take(layout.dtype, {t, config.hidden_size});
  if (const AttentionConfig* attention = config.attention()) {
    cos_sin = arena.Take(DType::kF32, {t, 2, attention->head_dim / 2});
  }
}

int64_t Activations::Bytes(const ModelConfig& config, const ActivationLimits& limits,
                           const ActivationLayout& layout) {
  Arena measure;
  Activations().CarveNamed(measure, config, limits, layout);
  return measure.used_bytes() + ScratchBytes(config, limits, layout);
}

absl::StatusOr<Activations> Activations::Create(Backend* backend, const ModelConfig& config,
                                                const ActivationLimits& limits) {
  WINNOW_CHECK(limits.max_tokens >= 1 && limits.max_sequences >= 1 && limits.logits_block_rows >= 1)
      << limits.max_tokens << " " << limits.max_sequences << " " << limits.logits_block_rows;
  const ActivationLayout layout = ActivationLayout::Of(*backend);
  Activations activations;
  activations.scratch_bytes_ = ScratchBytes(config, limits, layout);
  const int64_t all_bytes = Bytes(config, limits, layout);
  const int64_t named_bytes = all_bytes - activations.scratch_bytes_;

  auto memory = backend->Allocate(all_bytes);
  if (!memory.ok()) return memory.status();
  activations.memory_ = *std::move(memory);
  Arena named(activations.memory_.data(), named_bytes);
  activations.CarveNamed(named, config, limits, layout);
  activations.scratch_ = activations.memory_.data() + named_bytes;
  return activations;
}

}  // namespace winnow
