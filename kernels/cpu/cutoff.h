// Cutoff: where a list of tokens, most likely first, ends. Selects for top-k and top-p without
// sorting.
//
// Tokens are ordered by logit, highest first, of equal ones the lowest id first. Radix selection
// over the bits of the logits: each pass adds up weights per bin of the next bits, finds the bin
// that holds the end, and goes on with the tokens in there. O(candidates), three passes of which
// the first sees all.
#ifndef WINNOW_KERNELS_CPU_CUTOFF_H_
#define WINNOW_KERNELS_CPU_CUTOFF_H_

#include <cstdint>
#include <limits>
#include <vector>

namespace winnow::cpu {

struct Candidate {
  float logit = 0;
  float weight = 0;
  int64_t token = 0;
};

// The last token that is kept: all with a larger logit are, and those with an equal one and a lower
// id.
struct Cutoff {
  float logit = -std::numeric_limits<float>::infinity();
  int64_t token = std::numeric_limits<int64_t>::max();
};

// The shortest prefix of the ordered candidates whose weights add up to `target` or more; all if
// they never do. REQUIRES: candidates by ascending token, logits not NaN, weights and target > 0.
Cutoff ShortestPrefix(std::vector<Candidate> candidates, double target);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_CUTOFF_H_
