#include "model/hybrid_model.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/drawn_token.h"
#include "model/checkpoint_layout.h"

// Leaves the enclosing function with the status of `expression` if that is not OK.
#define WINNOW_RETURN_IF_ERROR(expression)                               \
  do {                                                                   \
    if (absl::Status status = (expression); !status.ok()) return status; \
  } while (false)

namespace winnow {
namespace {

// Larger steps of single tokens take so long that issuing their ops does not matter.
constexpr int64_t kMaxReplayedSequences = 1024;

ActivationLimits ActivationLimitsOf(const ModelLimits& limits) {
  return {.max_tokens = limits.max_step_tokens,
          .max_sequences = limits.max_step_sequences,
          .logits_block_rows = limits.logits_block_rows};
}

OpLimits OpLimitsOf(const ModelConfig& config, const ModelLimits& limits) {
  OpLimits ops = {.max_tokens = limits.max_step_tokens,
                  .max_sequences = limits.max_step_sequences,
                  .max_logits_rows = limits.logits_block_rows,
                  .vocab_size = config.vocab_size};
  for (const LayerConfig& layer : config.layers) {
    if (const auto* c = std::get_if<GatedDeltaConfig>(&layer.mixer)) {
      ops.num_key_heads = c->num_heads;
      ops.num_value_heads = c->num_v_heads;
      ops.key_dim = c->head_dim;
      ops.value_dim = c->value_dim;
    }
  }
  if (const AttentionConfig* c = config.attention()) {
    ops.num_query_heads = c->num_heads;
    ops.num_kv_heads = c->num_kv_heads;
    ops.head_dim = c->head_dim;
    if (c->eviction.has_value()) {
      for (const RouterConv& conv : RouterConvShapes(*c)) ops.router_outputs += conv.out;
    }
  }
  return ops;
}

absl::Status CheckState(const ModelConfig& config, const StateSpec& spec, const Backend& backend) {
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const auto* c = std::get_if<GatedDeltaConfig>(&config.layers[i].mixer);
    if (c == nullptr) continue;
    const int layer = static_cast<int>(i);
    const absl::Status status = backend.CheckDeltaState({.dtype = spec.field(layer, "state").dtype,
                                                         .ring_length = spec.state_ring(),
                                                         .key_dim = c->head_dim,
                                                         .value_dim = c->value_dim});
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat("layer ", layer, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

int64_t DrawnBytes(const ModelLimits& limits) {
  return (limits.num_slots + 1) * static_cast<int64_t>(sizeof(uint32_t));
}

}  // namespace

int64_t HybridModel::WorkingBytes(const ModelConfig& config, const Backend& backend,
                                  const ModelLimits& limits) {
  return Activations::Bytes(config, ActivationLimitsOf(limits), ActivationLayout::Of(backend)) +
         DrawnBytes(limits) + backend.ReservedBytes(OpLimitsOf(config, limits));
}

absl::StatusOr<std::unique_ptr<HybridModel>> HybridModel::Create(const ModelConfig& config,
                                                                 const Weights* weights,
                                                                 Backend* backend,
                                                                 const StateSpec& spec,
                                                                 const ModelLimits& limits) {
  WINNOW_CHECK(weights->layers.size() == config.layers.size());
  WINNOW_RETURN_IF_ERROR(CheckState(config, spec, *backend));
  auto store = StateStore::Create(backend, spec, limits.num_slots, limits.num_pages);
  if (!store.ok()) return store.status();
  auto activations = Activations::Create(backend, config, ActivationLimitsOf(limits));
  if (!activations.ok()) return activations.status();
  auto drawn = backend->Allocate(DrawnBytes(limits));
  if (!drawn.ok()) return drawn.status();
  WINNOW_RETURN_IF_ERROR(backend->Reserve(OpLimitsOf(config, limits)));
  return std::unique_ptr<HybridModel>(new HybridModel(config, weights, backend, limits,
                                                      *std::move(store), *std::move(activations),
                                                      *std::move(drawn)));
}

HybridModel::HybridModel(const ModelConfig& config, const Weights* weights, Backend* backend,
                         const ModelLimits& limits, StateStore store, Activations activations,
                         DeviceBuffer drawn)
    : config_(config),
      limits_(limits),
      weights_(weights),
      backend_(backend),
      store_(std::move(store)),
      activations_(std::move(activations)),
      layout_(ActivationLayout::Of(*backend)),
      drawn_(std::move(drawn)) {
  WINNOW_CHECK(1 <= max_in_flight() && max_in_flight() <= Backend::kMaxFences) << max_in_flight();
}

HybridModel::~HybridModel() {
  for (const auto& [sequences, key] : replay_keys_) backend_->ForgetReplay(key);
}

absl::Status HybridModel::Launch(const StepBatch& batch) {
  WINNOW_CHECK(static_cast<int>(in_flight_.size()) < max_in_flight())
      << in_flight_.size() << " steps are in flight";
  CheckStep(batch);
  in_flight_.emplace_back();
  const absl::Status status = LaunchOps(batch, &in_flight_.back());
  if (status.ok()) return status;
  // What was issued before may still write to the result; and a lost device outranks the rest.
  const absl::Status rest = backend_->Synchronize();
  in_flight_.pop_back();
  return rest.ok() ? status : rest;
}

absl::Status HybridModel::LaunchOps(const StepBatch& batch, StepResult* result) {
  WINNOW_RETURN_IF_ERROR(store_.CopySlots(batch.slot_copies));
  WINNOW_RETURN_IF_ERROR(store_.CopyPages(batch.page_copies));
  WINNOW_RETURN_IF_ERROR(store_.ZeroSlots(batch.zero_slots));
  WINNOW_RETURN_IF_ERROR(store_.ApplyEdits(batch.page_edits));
  WINNOW_RETURN_IF_ERROR(UploadStep(batch));
  WINNOW_RETURN_IF_ERROR(ForwardOrReplay());
  WINNOW_RETURN_IF_ERROR(LogitsAndSample(batch, result));
  WINNOW_RETURN_IF_ERROR(DownloadKeptCounts(batch, result));
  return backend_->Fence();
}

absl::Status HybridModel::Wait(StepResult* result) {
  WINNOW_CHECK(!in_flight_.empty()) << "no step is in flight";
  const absl::Status status = backend_->WaitForFence();
  if (status.ok()) *result = std::move(in_flight_.front());
  in_flight_.pop_front();
  return status;
}

void HybridModel::CheckStep(const StepBatch& batch) const {
  const int64_t t = batch.num_tokens(), b = batch.num_sequences();
  WINNOW_CHECK(1 <= t && t <= limits_.max_step_tokens) << t << " tokens";
  WINNOW_CHECK(1 <= b && b <= limits_.max_step_sequences) << b << " sequences";
  WINNOW_CHECK(static_cast<int64_t>(batch.positions.size()) == t);
  WINNOW_CHECK(static_cast<int64_t>(batch.row_offsets.size()) == b + 1);
  WINNOW_CHECK(batch.row_offsets.front() == 0 && batch.row_offsets.back() == t);
  for (int64_t i = 0; i < b; ++i) {
    const int64_t rows = batch.row_offsets[i + 1] - batch.row_offsets[i];
    WINNOW_CHECK(rows >= 1 && 0 < batch.slots[i] && batch.slots[i] <= limits_.num_slots)
        << rows << " rows in slot " << batch.slots[i];
    for (int64_t row = batch.row_offsets[i]; row < batch.row_offsets[i + 1]; ++row) {
      const uint32_t token = batch.tokens[row];
      WINNOW_CHECK(token < config_.vocab_size || token == DrawnToken(batch.slots[i])) << token;
    }
  }
  for (const LogitsRow& row : batch.logits_rows) {
    WINNOW_CHECK(0 <= row.slot && row.slot <= limits_.num_slots) << "slot " << row.slot;
  }
}

absl::Status HybridModel::UploadStep(const StepBatch& batch) {
  return UploadTables(batch, NumPadding(batch));
}

absl::Status HybridModel::UploadTables(const StepBatch& batch, int64_t num_padding) {
  tables_.Pack(batch, absl::MakeConstSpan(batch.logits_rows).first(FirstBlockRows(batch)),
               num_padding);
  std::byte* device = static_cast<std::byte*>(activations_.tables.raw);
  batch_ = tables_.View(device);
  return backend_->Upload(device, tables_.bytes().data(),
                          static_cast<int64_t>(tables_.bytes().size()));
}

int64_t HybridModel::FirstBlockRows(const StepBatch& batch) const {
  return std::min(limits_.logits_block_rows, static_cast<int64_t>(batch.logits_rows.size()));
}

int64_t HybridModel::PaddedSize(int64_t b) const {
  const int64_t step = b <= 64 ? 8 : b <= 256 ? 16 : 64;
  const int64_t size = b <= 8 ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(b)))
                              : (b + step - 1) / step * step;
  return std::min({size, limits_.max_step_tokens, limits_.max_step_sequences});
}

int64_t HybridModel::NumPadding(const StepBatch& batch) const {
  const int64_t b = batch.num_sequences();
  return backend_->replays() && batch.num_tokens() == b ? PaddedSize(b) - b : 0;
}

absl::Status HybridModel::WarmUp() {
  WINNOW_CHECK(in_flight_.empty()) << "a step is in flight";
  if (!backend_->replays()) return absl::OkStatus();
  int64_t most_rows = limits_.max_step_tokens;
  if (store_.spec().grows()) most_rows = std::min(most_rows, *store_.spec().max_sequence_tokens());
  for (int64_t rows = 2; rows < 2 * most_rows; rows *= 2) {
    WINNOW_RETURN_IF_ERROR(WarmStep(1, std::min(rows, most_rows)));
  }
  for (int64_t rows = 1; rows < 2 * limits_.logits_block_rows; rows *= 2) {
    WINNOW_RETURN_IF_ERROR(WarmHead(std::min(rows, limits_.logits_block_rows)));
  }
  // What padding sees must be a sequence's beginning again.
  WINNOW_RETURN_IF_ERROR(store_.ZeroScratchSlot());
  const int64_t most = std::min(PaddedSize(limits_.max_step_sequences), kMaxReplayedSequences);
  for (int64_t size = 0; size < most;) {
    size = PaddedSize(size + 1);
    for (int i = 0; i < 2; ++i) WINNOW_RETURN_IF_ERROR(WarmStep(size, 1));
  }
  return backend_->Synchronize();
}

absl::Status HybridModel::WarmStep(int64_t num_sequences, int64_t rows_each) {
  StepBatch batch;
  batch.row_offsets.push_back(0);
  for (int64_t s = 0; s < num_sequences; ++s) {
    for (int64_t r = 0; r < rows_each; ++r) {
      batch.tokens.push_back(0);
      batch.positions.push_back(r);
    }
    batch.slots.push_back(kScratchSlot);
    batch.row_offsets.push_back(static_cast<int32_t>(batch.tokens.size()));
  }
  WINNOW_RETURN_IF_ERROR(UploadTables(batch, 0));
  return ForwardOrReplay();
}

absl::Status HybridModel::WarmHead(int64_t num_rows) {
  Arena arena = activations_.Scratch();
  const LogitsScratch s(arena, config_.hidden_size, config_.vocab_size, num_rows, layout_);
  return backend_->Linear({.x = s.hidden, .weight = weights_->head, .out = s.logits});
}

absl::Status HybridModel::ForwardOrReplay() {
  const int64_t b = batch_.num_sequences;
  if (!backend_->replays() || batch_.num_tokens != b || b > kMaxReplayedSequences) return Forward();
  const auto [place, is_new] = replay_keys_.emplace(b, 0);
  if (is_new) place->second = backend_->NewReplayKey();
  return backend_->Replay(place->second, [this] { return Forward(); });
}

absl::Status HybridModel::Forward() {
  const int64_t t = batch_.num_tokens;
  WINNOW_RETURN_IF_ERROR(backend_->Embed({.table = weights_->embeddings,
                                          .tokens = batch_.tokens,
                                          .drawn = drawn(),
                                          .out = activations_.residual.First(t)}));
  if (const AttentionConfig* attention = config_.attention()) {
    WINNOW_RETURN_IF_ERROR(backend_->RopeTable({.positions = batch_.positions,
                                                .theta = attention->rope_theta,
                                                .cos_sin = activations_.cos_sin.First(t)}));
  }
  WINNOW_RETURN_IF_ERROR(ReadRings());
  for (size_t layer = 0; layer < config_.layers.size(); ++layer) {
    WINNOW_RETURN_IF_ERROR(Layer(static_cast<int>(layer)));
  }
  WINNOW_RETURN_IF_ERROR(AdvanceRings());
  return Norm(weights_->final_norm, /*with_delta=*/true);
}

absl::Status HybridModel::ReadRings() {
  if (store_.spec().state_ring() == 0) return absl::OkStatus();
  return backend_->GatherCounts({.batch = batch_,
                                 .fields = {store_.RingCount()},
                                 .count = 1,
                                 .out = activations_.ring_counts.data<int32_t>()});
}

absl::Status HybridModel::AdvanceRings() {
  const int64_t length = store_.spec().state_ring();
  if (length == 0) return absl::OkStatus();
  return backend_->AdvanceRing({.batch = batch_, .length = length, .count = store_.RingCount()});
}

std::optional<DeltaRing> HybridModel::Ring(int layer) const {
  const int64_t length = store_.spec().state_ring();
  if (length == 0) return std::nullopt;
  return DeltaRing{.length = length,
                   .counts = activations_.ring_counts.data<int32_t>(),
                   .values = store_.Field(layer, "ring_values"),
                   .decays = store_.Field(layer, "ring_decays"),
                   .keys = store_.Field(layer, "ring_keys")};
}

absl::Status HybridModel::Norm(const float* weight, bool with_delta) {
  const int64_t t = batch_.num_tokens;
  return backend_->RmsNorm({.x = activations_.residual.First(t),
                            .delta = with_delta ? activations_.delta.First(t) : TensorView(),
                            .weight = weight,
                            .eps = config_.norm_eps,
                            .out = activations_.normed.First(t)});
}

absl::Status HybridModel::Layer(int layer) {
  const LayerWeights& weights = weights_->layers[layer];
  WINNOW_RETURN_IF_ERROR(Norm(weights.mixer_norm, /*with_delta=*/layer > 0));
  if (const auto* config = std::get_if<GatedDeltaConfig>(&config_.layers[layer].mixer)) {
    WINNOW_RETURN_IF_ERROR(
        GatedDeltaMixer(layer, *config, std::get<GatedDeltaWeights>(weights.mixer)));
  } else {
    WINNOW_RETURN_IF_ERROR(AttentionMixer(layer,
                                          std::get<AttentionConfig>(config_.layers[layer].mixer),
                                          std::get<AttentionWeights>(weights.mixer)));
  }
  WINNOW_RETURN_IF_ERROR(Norm(weights.mlp_norm, /*with_delta=*/true));
  return Mlp(weights);
}

absl::Status HybridModel::Project(std::vector<WeightMatrix> weights, std::vector<TensorView> outs) {
  for (size_t i = 0; i < outs.size(); ++i) outs[i] = outs[i].Rows({weights[i].rows});
  return backend_->LinearGroup({.x = activations_.normed.First(batch_.num_tokens),
                                .weights = std::move(weights),
                                .outs = std::move(outs)});
}

absl::Status HybridModel::ProjectOut(const TensorView& x, const WeightMatrix& weight) {
  return backend_->Linear({.x = x.Rows({weight.cols}),
                           .weight = weight,
                           .out = activations_.delta.First(batch_.num_tokens)});
}

absl::Status HybridModel::GatedDeltaMixer(int layer, const GatedDeltaConfig& config,
                                          const GatedDeltaWeights& weights) {
  Arena arena = activations_.Scratch();
  const GatedDeltaScratch s(arena, config, batch_.num_tokens, layout_);
  std::vector<WeightMatrix> matrices = {weights.q, weights.k, weights.v};
  std::vector<TensorView> outs = {s.q_in, s.k_in, s.v_in};
  if (config.use_gate) {
    matrices.push_back(weights.gate);
    outs.push_back(s.gate);
  }
  WINNOW_RETURN_IF_ERROR(Project(std::move(matrices), std::move(outs)));
  WINNOW_RETURN_IF_ERROR(Project({weights.a, weights.b}, {s.a, s.b}));
  WINNOW_RETURN_IF_ERROR(Convolve(layer, config, weights, s));
  WINNOW_RETURN_IF_ERROR(
      backend_->GatedDelta({.batch = batch_,
                            .q = s.q,
                            .k = s.k,
                            .v = s.v,
                            .a = s.a,
                            .b = s.b,
                            .a_log = weights.a_log,
                            .dt_bias = weights.dt_bias,
                            .beta_scale = config.allow_neg_eigval ? 2.0f : 1.0f,
                            .state = store_.Field(layer, "state"),
                            .state_dtype = store_.spec().field(layer, "state").dtype,
                            .ring = Ring(layer),
                            .out = s.out}));
  WINNOW_RETURN_IF_ERROR(backend_->GatedRmsNorm(
      {.o = s.out, .weight = weights.out_norm, .eps = config_.norm_eps, .gate = s.gate}));
  return ProjectOut(s.out, weights.out);
}

absl::Status HybridModel::Convolve(int layer, const GatedDeltaConfig& config,
                                   const GatedDeltaWeights& weights, const GatedDeltaScratch& s) {
  const auto flat = [](const TensorView& x) { return x.Rows({x.RowSize()}); };
  if (!config.use_short_conv) {  // outputs are the inputs
    for (const TensorView& x : {s.q_in, s.k_in, s.v_in}) {
      WINNOW_RETURN_IF_ERROR(backend_->Silu({.x = flat(x)}));
    }
    return absl::OkStatus();
  }
  const auto part = [&](const char* field, const TensorView& x, const float* weight,
                        const TensorView& out) {
    return ShortConvArgs{.batch = batch_,
                         .x = flat(x),
                         .weight = weight,
                         .width = config.conv_size,
                         .history = store_.Field(layer, field),
                         .out = flat(out)};
  };
  return backend_->ShortConvGroup({.parts = {part("q_conv", s.q_in, weights.q_conv, s.q),
                                             part("k_conv", s.k_in, weights.k_conv, s.k),
                                             part("v_conv", s.v_in, weights.v_conv, s.v)}});
}

absl::Status HybridModel::AttentionMixer(int layer, const AttentionConfig& config,
                                         const AttentionWeights& weights) {
  Arena arena = activations_.Scratch();
  const AttentionScratch s(arena, config, batch_.num_tokens, batch_.num_sequences, layout_);
  WINNOW_RETURN_IF_ERROR(Project({weights.q, weights.k, weights.v}, {s.q, s.k, s.v}));
  // The router reads keys before RoPE.
  if (config.eviction.has_value()) {
    WINNOW_RETURN_IF_ERROR(RetainTokens(layer, config, *weights.router, s));
  }
  const TensorView cos_sin = activations_.cos_sin.First(batch_.num_tokens);
  for (const TensorView& x : s.rotated) {
    WINNOW_RETURN_IF_ERROR(backend_->Rope({.cos_sin = cos_sin, .x = x}));
  }

  const KeptPlan* plan = config.eviction.has_value() ? &s.plan : nullptr;
  const int64_t buffer_size = plan != nullptr ? config.eviction->buffer_size : 0;
  WINNOW_RETURN_IF_ERROR(backend_->Attention({.batch = batch_,
                                              .q = s.q,
                                              .k = s.k,
                                              .v = s.v,
                                              .pages = store_.Pages(layer),
                                              .span = config.span(),
                                              .plan = plan,
                                              .buffer_size = buffer_size,
                                              .out = s.out}));
  WINNOW_RETURN_IF_ERROR(backend_->WriteKv({.batch = batch_,
                                            .k = s.k,
                                            .v = s.v,
                                            .pages = store_.Pages(layer),
                                            .plan = plan,
                                            .buffer_size = buffer_size}));
  return ProjectOut(s.out, weights.out);
}

absl::Status HybridModel::RetainTokens(int layer, const AttentionConfig& config,
                                       const RouterWeights& router, const AttentionScratch& s) {
  std::vector<SlotField> history;
  for (size_t i = 0; i < router.convs.size(); ++i) {
    history.push_back(store_.Field(layer, absl::StrCat("router_history_", i)));
  }
  WINNOW_RETURN_IF_ERROR(backend_->RouterScores({.batch = batch_,
                                                 .k = s.k,
                                                 .v = s.v,
                                                 .weights = &router,
                                                 .history = std::move(history),
                                                 .scores = s.scores}));
  return backend_->Departures({.batch = batch_,
                               .scores = s.scores,
                               .margin = router.margin(),
                               .span = config.span(),
                               .buffer_size = config.eviction->buffer_size,
                               .sink_size = config.eviction->sink_size,
                               .num_kv_heads = config.num_kv_heads,
                               .score_ring = store_.Field(layer, "score_ring"),
                               .kept_count = store_.Field(layer, "kept_count"),
                               .kept_score = store_.Field(layer, "kept_score"),
                               .kept_position = store_.Field(layer, "kept_position"),
                               .plan = s.plan});
}

absl::Status HybridModel::Mlp(const LayerWeights& weights) {
  Arena arena = activations_.Scratch();
  const MlpScratch s(arena, config_.intermediate_size, batch_.num_tokens, layout_);
  WINNOW_RETURN_IF_ERROR(Project({weights.mlp_gate, weights.mlp_up}, {s.gate, s.up}));
  WINNOW_RETURN_IF_ERROR(backend_->SwiGlu({.gate = s.gate, .up = s.up, .out = s.gate}));
  return ProjectOut(s.gate, weights.mlp_down);
}

absl::Status HybridModel::LogitsAndSample(const StepBatch& batch, StepResult* result) {
  const int64_t num_rows = static_cast<int64_t>(batch.logits_rows.size());
  result->rows.resize(num_rows);
  const int64_t first = FirstBlockRows(batch);
  if (first == 0) return absl::OkStatus();
  const auto* device = static_cast<const std::byte*>(activations_.tables.raw);
  WINNOW_RETURN_IF_ERROR(SampleBlock(batch, 0, first, tables_.LogitsRows(device), result));
  for (int64_t begin = first; begin < num_rows; begin += limits_.logits_block_rows) {
    const int64_t n = std::min(limits_.logits_block_rows, num_rows - begin);
    std::vector<int32_t> rows(n);
    for (int64_t i = 0; i < n; ++i) rows[i] = batch.logits_rows[begin + i].row;
    const TensorView& to = activations_.logits_rows;
    WINNOW_RETURN_IF_ERROR(
        backend_->Upload(static_cast<std::byte*>(to.raw), rows.data(), n * sizeof(int32_t)));
    WINNOW_RETURN_IF_ERROR(SampleBlock(batch, begin, n, to.data<int32_t>(), result));
  }
  return absl::OkStatus();
}

absl::Status HybridModel::SampleBlock(const StepBatch& batch, int64_t begin, int64_t n,
                                      const int32_t* rows, StepResult* result) {
  Arena arena = activations_.Scratch();
  const LogitsScratch s(arena, config_.hidden_size, config_.vocab_size, n, layout_);
  WINNOW_RETURN_IF_ERROR(backend_->GatherRows(
      {.x = activations_.normed.First(batch_.num_tokens), .rows = rows, .out = s.hidden}));
  WINNOW_RETURN_IF_ERROR(
      backend_->Linear({.x = s.hidden, .weight = weights_->head, .out = s.logits}));
  return backend_->Sample({.logits = s.logits,
                           .rows = batch.logits_rows.data() + begin,
                           .results = result->rows.data() + begin,
                           .drawn = drawn()});
}

absl::Status HybridModel::DownloadKeptCounts(const StepBatch& batch, StepResult* result) {
  const int64_t lists = store_.spec().num_kept_lists();
  if (lists == 0) return absl::OkStatus();
  std::vector<SlotField> fields = store_.KeptCounts();
  RaggedBatch real = batch_;  // without padding
  real.num_sequences = batch.num_sequences();
  const int64_t count = lists / static_cast<int64_t>(fields.size());
  const TensorView& counts = activations_.kept_counts;
  WINNOW_RETURN_IF_ERROR(backend_->GatherCounts(
      {.batch = real, .fields = std::move(fields), .count = count, .out = counts.data<int32_t>()}));
  result->kept_counts.resize(batch.num_sequences() * lists);
  return backend_->Download(result->kept_counts.data(), static_cast<const std::byte*>(counts.raw),
                            static_cast<int64_t>(result->kept_counts.size() * sizeof(int32_t)));
}

}  // namespace winnow
