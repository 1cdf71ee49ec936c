#include "tests/bench/model_driver.h"

#include <utility>
#include <variant>

#include "kernels/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "model/device_weights.h"

namespace winnow::bench {
namespace {

constexpr int64_t kMaxSequenceTokens = 4096;  // of growing kinds
constexpr int64_t kCpuLogitsRows = 64;

template <typename T>
T Must(absl::StatusOr<T> value) {
  WINNOW_CHECK(value.ok()) << value.status();
  return *std::move(value);
}

// Elements of a layer's matrices.
int64_t MatrixElements(const LayerWeights& layer) {
  const auto size = [](const WeightMatrix& m) { return m.rows * m.cols; };
  int64_t n = size(layer.mlp_gate) + size(layer.mlp_up) + size(layer.mlp_down);
  if (const auto* w = std::get_if<GatedDeltaWeights>(&layer.mixer)) {
    return n + size(w->q) + size(w->k) + size(w->v) + size(w->a) + size(w->b) + size(w->gate) +
           size(w->out);
  }
  const auto& w = std::get<AttentionWeights>(layer.mixer);
  return n + size(w.q) + size(w.k) + size(w.v) + size(w.out);
}

}  // namespace

ModelDriver::ModelDriver(const std::string& directory, int threads, int64_t num_sequences,
                         int64_t max_step_tokens, int64_t page_tokens)
    : cpu_(Must(cpu::CpuBackend::Create({.num_threads = threads}))), backend_(cpu_.get()) {
  Load(directory, num_sequences, max_step_tokens, {.page_tokens = page_tokens}, kCpuLogitsRows);
}

ModelDriver::ModelDriver(const std::string& directory, Backend* backend, int64_t num_sequences,
                         int64_t max_step_tokens, const StateSpecOptions& state,
                         int64_t logits_block_rows)
    : backend_(backend) {
  Load(directory, num_sequences, max_step_tokens, state, logits_block_rows);
}

void ModelDriver::Load(const std::string& directory, int64_t num_sequences, int64_t max_step_tokens,
                       StateSpecOptions state, int64_t logits_block_rows) {
  config_ = Must(LoadModelConfig(directory + "/config.json"));
  weights_ = Must(
      PlaceWeights(Must(Weights::Load(directory, config_)), backend_, [](int64_t, int64_t) {}));
  positions_.assign(num_sequences, 0);
  state.page_dtype = backend_->activation_dtype();
  state.max_sequence_tokens = kMaxSequenceTokens;
  const StateSpec spec = Must(StateSpec::Create(config_, state));
  int32_t next_page = kScratchPage + 1;
  for (int64_t slot = 1; slot <= num_sequences; ++slot) {
    for (int64_t entry = 0; entry < spec.table_entries(); ++entry) {
      page_edits_.push_back({static_cast<int32_t>(slot), entry, next_page++});
    }
  }
  model_ = Must(HybridModel::Create(config_, weights_.get(), backend_, spec,
                                    {.max_step_tokens = max_step_tokens,
                                     .max_step_sequences = num_sequences,
                                     .num_slots = num_sequences,
                                     .num_pages = next_page - 1,
                                     .logits_block_rows = logits_block_rows}));
}

void ModelDriver::Step(int64_t first, int64_t num_sequences, int64_t num_tokens) {
  StepBatch batch;
  batch.page_edits = std::exchange(page_edits_, {});
  batch.row_offsets.push_back(0);
  for (int64_t s = first; s < first + num_sequences; ++s) {
    // Growing kinds begin again where their page tables end: what the state holds does not matter
    // here.
    if (model_->state_spec().grows() && positions_[s] + num_tokens > kMaxSequenceTokens) {
      positions_[s] = 0;
    }
    for (int64_t i = 0; i < num_tokens; ++i) {
      batch.positions.push_back(positions_[s]);
      batch.tokens.push_back(
          static_cast<uint32_t>((positions_[s]++ * 7919 + s) % config_.vocab_size));
    }
    batch.slots.push_back(static_cast<int32_t>(s + 1));
    batch.row_offsets.push_back(static_cast<int32_t>(batch.tokens.size()));
    LogitsRow row;
    row.row = batch.row_offsets.back() - 1;
    row.sampling.temperature = 0;
    batch.logits_rows.push_back(row);
  }
  const absl::Status launched = model_->Launch(batch);
  WINNOW_CHECK(launched.ok()) << launched;
  StepResult result;
  const absl::Status done = model_->Wait(&result);
  WINNOW_CHECK(done.ok()) << done;
}

int64_t ModelDriver::WeightBytesPerStep() const {
  int64_t elements = weights_->head.rows * weights_->head.cols;
  for (const LayerWeights& layer : weights_->layers) elements += MatrixElements(layer);
  return elements * DTypeBytes(weights_->head.dtype);
}

int64_t ModelDriver::MultiplyAdds(int64_t tokens, int64_t logits_rows) const {
  int64_t elements = 0;
  for (const LayerWeights& layer : weights_->layers) elements += MatrixElements(layer);
  return elements * tokens + weights_->head.rows * weights_->head.cols * logits_rows;
}

}  // namespace winnow::bench
