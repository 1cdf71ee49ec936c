// ModelDriver: a checkpoint's HybridModel run step by step without a scheduler, for benchmarks:
// every slot has all its pages from the start, and a step is whatever the benchmark asks for.
#ifndef WINNOW_TESTS_BENCH_MODEL_DRIVER_H_
#define WINNOW_TESTS_BENCH_MODEL_DRIVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "model/config.h"
#include "model/hybrid_model.h"
#include "model/state_spec.h"
#include "model/weights.h"

namespace winnow::bench {

class ModelDriver {
 public:
  // On a CPU backend of its own. CHECKs that the checkpoint loads.
  ModelDriver(const std::string& directory, int threads, int64_t num_sequences,
              int64_t max_step_tokens, int64_t page_tokens);
  // On a given backend, which must outlive this. `state`: page_tokens, state_dtype and state_ring
  // count.
  ModelDriver(const std::string& directory, Backend* backend, int64_t num_sequences,
              int64_t max_step_tokens, const StateSpecOptions& state, int64_t logits_block_rows);

  // Computes the next num_tokens (arbitrary) tokens of each of the first num_sequences sequences
  // from `first` on, in one step, and draws a token after each sequence's last one.
  void Step(int64_t first, int64_t num_sequences, int64_t num_tokens);

  int64_t position(int64_t sequence) const { return positions_[sequence]; }
  const ModelConfig& config() const { return config_; }
  const Backend& backend() const { return *backend_; }
  const StateSpec& state_spec() const { return model_->state_spec(); }

  // Weight bytes that a step reads at least: all matrices but the embedding table (the head
  // included), once.
  int64_t WeightBytesPerStep() const;
  // Multiply-adds of the matrix products of a step of `tokens` tokens with `logits_rows` rows of
  // logits.
  int64_t MultiplyAdds(int64_t tokens, int64_t logits_rows) const;

 private:
  void Load(const std::string& directory, int64_t num_sequences, int64_t max_step_tokens,
            StateSpecOptions state, int64_t logits_block_rows);

  ModelConfig config_;
  std::unique_ptr<Backend> cpu_;
  Backend* backend_ = nullptr;
  std::unique_ptr<const Weights> weights_;
  std::unique_ptr<HybridModel> model_;
  std::vector<int64_t> positions_;
  std::vector<PageTableEdit> page_edits_;  // for the first step
};

}  // namespace winnow::bench

#endif  // WINNOW_TESTS_BENCH_MODEL_DRIVER_H_
