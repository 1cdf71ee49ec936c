// From logits to tokens and log-probabilities.
#ifndef WINNOW_KERNELS_OPS_SAMPLE_H_
#define WINNOW_KERNELS_OPS_SAMPLE_H_

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace winnow {

// How to draw one token.
struct SamplingParams {
  float temperature = 1;  // >= 0; 0 is greedy (ties: lowest id)
  uint32_t top_k = 0;     // keep the k most likely; vocab size or more, or 0: all
  float top_p = 1;  // (0, 1]: keep the smallest set of most likely tokens whose mass reaches top_p
  uint64_t seed = 0;
};

enum class RowPurpose : uint8_t {
  kSample,  // draw the next token
  kScore,   // report log-probability and rank of `score_token`
};

struct LogitsRow {
  int32_t row = 0;  // of the step's tokens: the logits are those after this row's token
  RowPurpose purpose = RowPurpose::kSample;
  SamplingParams sampling;   // kSample
  int64_t position = 0;      // kSample: absolute position of the token to draw
  uint32_t score_token = 0;  // kScore
  bool want_logprobs = false;
  uint32_t num_top = 0;  // alternatives to report, <= kMaxTopLogprobs
};

inline constexpr uint32_t kMaxTopLogprobs = 20;

struct TokenLogprob {
  uint32_t token = 0;
  float logprob = 0;
};

struct RowResult {
  uint32_t token = 0;  // drawn, or score_token
  bool fault = false;  // the row's logits hold NaN or inf: no token was drawn and nothing else here
                       // is meaningful
  float logprob = 0;   // natural log-softmax of the raw logits, before temperature, top-k and top-p
                       // (if want_logprobs)
  uint32_t rank = 0;   // 1 + number of tokens with larger logits, + those with equal logits and
                       // lower id (if want_logprobs)
  std::vector<TokenLogprob> top;  // most likely first (ties: lowest id), num_top of them
};

// Draws or scores each row. A draw: logits / temperature; keep the top_k highest; of their softmax
// keep the smallest most-likely-first prefix whose mass reaches top_p (at least one); draw by
// inverse CDF in order of token id with one uniform from Philox4x32-10 (Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3", SC11) keyed by the seed at counter `position`: so a draw is
// a function of (seed, position, logits) only.
struct SampleArgs {
  TensorView logits;                // [R, vocab] float32
  const LogitsRow* rows = nullptr;  // [R] host memory
  RowResult* results = nullptr;     // [R] host memory; valid after Backend::Synchronize()
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_SAMPLE_H_
