// ScoredModel: a checkpoint's HybridModel on a given backend that tells the logits after every
// token of a text, for tests that compare them with recordings.
#ifndef WINNOW_TESTS_GPU_SCORED_MODEL_H_
#define WINNOW_TESTS_GPU_SCORED_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "model/config.h"
#include "model/hybrid_model.h"
#include "model/weights.h"
#include "tests/golden/recordings.h"

namespace winnow {

class ScoredModel {
 public:
  // `backend` is not owned and outlives this. CHECKs that everything loads.
  ScoredModel(const std::string& directory, Backend* backend, int64_t max_tokens);

  // Computes the tokens as one sequence, cut into pieces, from an empty state.
  LogprobRows Score(const std::vector<uint32_t>& tokens, int64_t piece);

  // Tokens kept by each head at the end of the last Score.
  const std::vector<int32_t>& kept_counts() const { return kept_counts_; }

 private:
  StepBatch Batch(const std::vector<uint32_t>& tokens, int64_t begin, int64_t end);

  const ModelConfig config_;
  std::unique_ptr<const Weights> weights_;
  std::unique_ptr<HybridModel> model_;
  std::vector<int32_t> kept_counts_;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_GPU_SCORED_MODEL_H_
