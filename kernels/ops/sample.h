// From logits to tokens and log-probabilities: what a request may ask of the choice of its tokens.
#ifndef WINNOW_KERNELS_OPS_SAMPLE_H_
#define WINNOW_KERNELS_OPS_SAMPLE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace winnow {

// How to draw one token. All finite.
struct SamplingParams {
  float temperature = 1;  // >= 0; 0 is greedy (ties: lowest id)
  uint32_t top_k = 0;     // keep the k most likely; vocab size or more, or 0: all
  float top_p = 1;  // (0, 1]: keep the smallest set of most likely tokens whose mass reaches top_p
  float min_p = 0;  // [0, 1]: keep tokens at least min_p times as likely as the most likely one
  float repetition_penalty = 1;  // > 0; on tokens of prompt and output
  float frequency_penalty = 0;   // on tokens of the output, times their count in it
  float presence_penalty = 0;    // on tokens of the output
  uint64_t seed = 0;             // of choice c: DeriveSeed(request's seed, c), kernels/philox.h
};

struct TokenBias {
  uint32_t token = 0;
  float bias = 0;  // finite; added to the token's logit
};

// What a row's draw depends on besides its logits and parameters. Host memory, read before Sample
// returns. Token ids are below the vocabulary's size: of a prompt and an output this is checked
// only if a penalty reads them.
struct TokenContext {
  std::span<const uint32_t> prompt = {};
  std::span<const uint32_t> output = {};       // the tokens drawn so far, in any order
  std::span<const TokenBias> logit_bias = {};  // distinct tokens, ascending
  // Tokens that may not be drawn, e.g. stop tokens before min_tokens. If that is every token, none
  // is suppressed.
  std::span<const uint32_t> suppressed = {};
  // One more token of the output is not in `output`: it is still being drawn, and will be
  // SampleArgs::drawn[slot] of the row.
  bool output_in_flight = false;
};

enum class RowPurpose : uint8_t {
  kSample,  // draw the next token
  kScore,   // report log-probability and rank of `score_token`
};

struct LogitsRow {
  int32_t row = 0;  // of the step's tokens: the logits are those after this row's token
  RowPurpose purpose = RowPurpose::kSample;
  SamplingParams sampling;  // kSample
  TokenContext context;     // kSample
  int64_t position = 0;     // kSample: absolute position of the token to draw
  int32_t slot = 0;  // kSample: the place of SampleArgs::drawn that gets the token; 0: none does
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
  // The rest is about the raw logits: whatever the sampling parameters and the context say.
  float logprob = 0;  // natural log-softmax (if want_logprobs)
  uint32_t rank = 0;  // 1 + number of tokens with larger logits, + those with equal logits and
                      // lower id (if want_logprobs)
  std::vector<TokenLogprob> top;  // most likely first (ties: lowest id), num_top of them
};

// Draws or scores each row. A draw transforms the row's logits in this order:
//
//   1. logit of a suppressed token = -inf
//   2. logit += bias of the token
//   3. of each token of prompt or output, once: logit = logit > 0 ? logit / repetition_penalty
//                                                                 : logit * repetition_penalty
//   4. logit -= frequency_penalty * its count in output
//   5. of each token of output, once: logit -= presence_penalty
//   6. temperature 0: the largest logit is the token. Else logit /= temperature
//   7. min_p: keep tokens whose probability is at least min_p times the largest
//   8. top_k: keep the k largest
//   9. top_p: of the softmax of what is left, keep the shortest most-likely-first prefix whose mass
//      reaches top_p (at least one token)
//  10. of the softmax of what is left, draw by inverse CDF in order of token id with one uniform
//      from Philox4x32-10 (kernels/philox.h) keyed by the seed at counter `position`
//
// So a draw is a function of (seed, position), the logits, the parameters and the context only.
// Wherever a prefix ends between equal logits, the lower ids are kept.
//
// The order is the one that vLLM documents for its V1 sampler (docs.vllm.ai, API reference,
// vllm.v1.sample.sampler: log-probabilities of the raw logits; then min tokens, logit bias;
// repetition, frequency, presence penalty; greedy or temperature; min_p; top_k and top_p). There a
// temperature below 1e-5 is greedy; here only 0 is.
//
// Step 2, and steps 3 to 5 together, are computed in float64 and rounded to float32, to the largest
// finite one at most: no parameter makes a NaN or an infinity.
struct SampleArgs {
  TensorView logits;                // [R, vocab] float32
  const LogitsRow* rows = nullptr;  // [R] host memory, read before Sample returns
  RowResult* results = nullptr;     // [R] host memory; valid as what Backend::Download brings
  // [slots] the last token drawn for each slot (kernels/drawn_token.h): a row that draws puts its
  // own there, after having read the one before if that counts as output. Slots are of one row at
  // most. Null if no row has a slot.
  uint32_t* drawn = nullptr;
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_SAMPLE_H_
