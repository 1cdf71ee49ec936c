// SampleArgs of kernels/ops/sample.h on the device, one block per row.
//
// The caller packs what a row asks for into a SampleRow and a list of TokenEdits, and reads a
// SampleOutput. Greedy tokens, ranks and alternatives equal those of kernels/cpu/sample.h; draws
// are the same function of (seed, position, logits) up to rounding where two probabilities or sums
// of them meet. Weights e^((logit - max) / temperature) are added up as integers, in units of 2^-42
// of the largest, so that no sum depends on the order of its terms: a draw is repeatable to the
// bit. Bytes: about 4 passes over the row's logits, 6 more with top_k or top_p.
#ifndef WINNOW_KERNELS_CUDA_SAMPLE_H_
#define WINNOW_KERNELS_CUDA_SAMPLE_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/ops/sample.h"

namespace winnow::cuda {

// Largest vocabulary: sums of 2^-42 units of so many weights of 1 fit into 64 bits.
inline constexpr int64_t kMaxSampleVocab = int64_t{1} << 21;

// What happens to one token's logit before a draw.
struct TokenEdit {
  uint32_t token = 0;
  float bias = 0;
  int32_t count = kNoPenalty;  // in the output; 0: in the prompt only
  bool suppressed = false;

  static constexpr int32_t kNoPenalty = -1;  // the token is in neither
};

// One row's request.
struct SampleRow {
  int64_t position = 0;
  uint64_t seed = 0;
  float temperature = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1, frequency_penalty = 0, presence_penalty = 0;
  uint32_t top_k = 0;
  uint32_t score_token = 0;
  uint32_t num_top = 0;
  int32_t first_edit = 0, num_edits = 0;  // of distinct tokens
  int32_t slot = 0;                       // of `drawn`; 0: the token goes nowhere
  bool scores_token = false;
  bool reports = false;  // logprob, rank and alternatives
  // drawn[slot], as the row finds it, is one more token of the output, and penalties count it.
  bool counts_drawn = false;
};

struct SampleOutput {
  uint32_t token = 0;
  uint32_t fault = 0;
  float logprob = 0;
  uint32_t rank = 0;
  uint32_t top_tokens[kMaxTopLogprobs] = {};
  float top_logprobs[kMaxTopLogprobs] = {};
};

// Edits the logits of each row in place for its draw and restores them. `edits` may be null if no
// row has any, `drawn` [slots] if none has a slot; `saved` has room for a float per edit.
// cudaErrorInvalidValue: a vocabulary of 0 or more than kMaxSampleVocab.
cudaError_t LaunchSample(const TensorView& logits, const SampleRow* rows, const TokenEdit* edits,
                         float* saved, uint32_t* drawn, SampleOutput* outputs, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_SAMPLE_H_
