// Cutoff: where a list of tokens, most likely first, ends. Selects for top-k and top-p without
// sorting the vocabulary.
//
// Tokens are ordered by logit, highest first, of equal ones the lowest id first. Radix selection
// over the bits of the logits: each pass adds up weights per bin of the next bits, finds the bin
// that holds the end, and goes on with the tokens in there. O(vocab), a few passes of which only
// the first sees every token.
#ifndef WINNOW_KERNELS_CPU_CUTOFF_H_
#define WINNOW_KERNELS_CPU_CUTOFF_H_

#include <cstdint>
#include <limits>

namespace winnow::cpu {

// The last token that is kept: all with a larger logit are, and those with an equal one and a lower
// id.
struct Cutoff {
  float logit = -std::numeric_limits<float>::infinity();
  int64_t token = std::numeric_limits<int64_t>::max();
};

// The shortest prefix of the ordered tokens whose weights add up to `target` or more; all tokens if
// they never do. Tokens of weight 0 count as absent. REQUIRES: logits [vocab] without NaN; weights
// [vocab] >= 0, or null: all 1; target > 0.
Cutoff ShortestPrefix(const float* logits, const float* weights, int64_t vocab, double target);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_CUTOFF_H_
