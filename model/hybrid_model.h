// HybridModel: the forward pass of any ModelConfig as a list of named ops on a Backend.
//
//   auto model = HybridModel::Create(config, weights.get(), backend.get(), spec, limits);
//   (*model)->Launch(batch);  (*model)->Wait(&result);
//
// Owns the StateStore, the activations and the last token drawn for each slot; `weights` and
// `backend` must outlive it. One thread.
#ifndef WINNOW_MODEL_HYBRID_MODEL_H_
#define WINNOW_MODEL_HYBRID_MODEL_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/activations.h"
#include "model/config.h"
#include "model/model.h"
#include "model/state_store.h"
#include "model/step_tables.h"
#include "model/weights.h"

namespace winnow {

// The largest step that Launch accepts, and the pools' sizes. Everything is allocated by Create.
struct ModelLimits {
  int64_t max_step_tokens = 0;     // >= 1
  int64_t max_step_sequences = 0;  // >= 1
  int64_t num_slots = 0;           // usable ones, scratch excluded
  int64_t num_pages = 0;
  int64_t logits_block_rows = 64;  // rows of logits that are computed together
  // 1 or 2; none: 2 where the backend runs beside the caller.
  std::optional<int> max_in_flight = std::nullopt;
};

class HybridModel final : public Model {
 public:
  ~HybridModel() override;
  // INVALID_ARGUMENT: the backend cannot keep the state as `spec` says. Else what allocations say.
  static absl::StatusOr<std::unique_ptr<HybridModel>> Create(const ModelConfig& config,
                                                             const Weights* weights,
                                                             Backend* backend,
                                                             const StateSpec& spec,
                                                             const ModelLimits& limits);

  const StateSpec& state_spec() const override { return store_.spec(); }
  int max_in_flight() const override {
    return limits_.max_in_flight.value_or(backend_->asynchronous() ? 2 : 1);
  }
  int64_t activation_bytes() const { return activations_.size_bytes(); }

  // Bytes that Create allocates beside the state: activations and what the backend's ops need.
  static int64_t WorkingBytes(const ModelConfig& config, const Backend& backend,
                              const ModelLimits& limits);

  // Runs steps of all sizes on the scratch slot, where the backend chooses algorithms or records
  // what it replays when a size comes up first: so that no request waits for that. REQUIRES: no
  // step is in flight.
  absl::Status WarmUp();

  absl::Status Launch(const StepBatch& batch) override;
  absl::Status Wait(StepResult* result) override;

 private:
  HybridModel(const ModelConfig& config, const Weights* weights, Backend* backend,
              const ModelLimits& limits, StateStore store, Activations activations,
              DeviceBuffer drawn);

  // `result` gets its results when the step is done.
  absl::Status LaunchOps(const StepBatch& batch, StepResult* result);
  uint32_t* drawn() const { return reinterpret_cast<uint32_t*>(drawn_.data()); }
  // Forward, replayed where it is a step of single tokens.
  absl::Status ForwardOrReplay();
  // The step, in order; each is a list of ops.
  absl::Status UploadStep(const StepBatch& batch);
  void CheckStep(const StepBatch& batch) const;
  absl::Status UploadTables(const StepBatch& batch, int64_t num_padding);
  int64_t FirstBlockRows(const StepBatch& batch) const;
  // The one of few sizes that a step of b single tokens is padded to.
  int64_t PaddedSize(int64_t b) const;
  int64_t NumPadding(const StepBatch& batch) const;
  // A step without results, of tokens from position 0 on in the scratch slot.
  absl::Status WarmStep(int64_t num_sequences, int64_t rows_each);
  absl::Status WarmHead(int64_t num_rows);
  absl::Status Forward();
  // The state rings' counts: before the first layer, after the last one.
  absl::Status ReadRings();
  absl::Status AdvanceRings();
  absl::Status Layer(int layer);
  absl::Status GatedDeltaMixer(int layer, const GatedDeltaConfig& config,
                               const GatedDeltaWeights& weights);
  std::optional<DeltaRing> Ring(int layer) const;
  absl::Status AttentionMixer(int layer, const AttentionConfig& config,
                              const AttentionWeights& weights);
  absl::Status RetainTokens(int layer, const AttentionConfig& config, const RouterWeights& router,
                            const AttentionScratch& scratch);
  absl::Status Mlp(const LayerWeights& weights);
  absl::Status LogitsAndSample(const StepBatch& batch, StepResult* result);
  // Of `n` rows of the step, whose numbers are at `rows`.
  absl::Status SampleBlock(const StepBatch& batch, int64_t begin, int64_t n, const int32_t* rows,
                           StepResult* result);
  absl::Status DownloadKeptCounts(const StepBatch& batch, StepResult* result);

  // residual += delta (if asked); normed = RMSNorm(residual).
  absl::Status Norm(const float* weight, bool with_delta);
  // outs[i] = normed weights[i]^T.
  absl::Status Project(std::vector<WeightMatrix> weights, std::vector<TensorView> outs);
  // delta = x W^T.
  absl::Status ProjectOut(const TensorView& x, const WeightMatrix& weight);
  absl::Status Convolve(int layer, const GatedDeltaConfig& config, const GatedDeltaWeights& weights,
                        const GatedDeltaScratch& scratch);

  const ModelConfig config_;
  const ModelLimits limits_;
  const Weights* const weights_;
  Backend* const backend_;
  StateStore store_;
  Activations activations_;
  const ActivationLayout layout_;
  const DeviceBuffer drawn_;                 // [num_slots + 1] uint32: kernels/drawn_token.h
  std::map<int64_t, uint64_t> replay_keys_;  // by number of sequences

  // The step that is being launched. On the device, steps use the same memory one after the other.
  StepTables tables_;
  RaggedBatch batch_;

  std::deque<StepResult>
      in_flight_;  // of the steps in flight, oldest first; written by the backend
};

}  // namespace winnow

#endif  // WINNOW_MODEL_HYBRID_MODEL_H_
