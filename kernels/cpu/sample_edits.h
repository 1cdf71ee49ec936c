// What a row's context does to its logits before a token is drawn: steps 1 to 5 of SampleArgs in
// kernels/ops/sample.h.
//
// O(suppressed + logit_bias), and with penalties O(prompt + output), whatever the vocabulary's
// size. Tested against the float64 reference in sample_reference.h.
#ifndef WINNOW_KERNELS_CPU_SAMPLE_EDITS_H_
#define WINNOW_KERNELS_CPU_SAMPLE_EDITS_H_

#include <cstdint>

#include "kernels/ops/sample.h"

namespace winnow::cpu {

// Whether the row's draw changes any logit. If not, it can read them where they are.
bool HasEdits(const LogitsRow& row);

// Edits the row's logits [vocab] in place; `counts` [vocab] is scratch. Afterwards the suppressed
// tokens' logits are -inf and all others finite; at least one is. `drawn` is SampleArgs', read if
// the context's output is in flight. REQUIRES: finite logits; what TokenContext says of token ids
// and biases, which is checked.
void EditLogits(const LogitsRow& row, const uint32_t* drawn, int64_t vocab, float* logits,
                float* counts);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_SAMPLE_EDITS_H_
