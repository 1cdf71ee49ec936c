// What a row's context does to its logits, as the list that the sampling kernel reads.
#ifndef WINNOW_KERNELS_CUDA_TOKEN_EDITS_H_
#define WINNOW_KERNELS_CUDA_TOKEN_EDITS_H_

#include <cstdint>
#include <vector>

#include "kernels/cuda/sample.h"
#include "kernels/ops/sample.h"

namespace winnow::cuda {

// Appends the edits of a row's draw to `edits`, each token once, and returns the row for the kernel
// with their place in the list. CHECKs what TokenContext says of token ids. O(context); prompt and
// output are read only for penalties. A token of the output that is in flight is none of the
// list's: the kernel adds it.
SampleRow PackRow(const LogitsRow& row, int64_t vocab, std::vector<TokenEdit>* edits);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_TOKEN_EDITS_H_
