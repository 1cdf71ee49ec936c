// out[t, n] = sum_k x[t, k] * weight[n, k] + bias[n]: float32 activations, bf16, f16 or float32
// weights read where they lie.
//
// Order of the sum, the same for every T, place in the batch and number of threads, so that results
// are bit-identical (L: lanes of a vector of the instruction set in use):
//   K is cut into parts of at most 1024 and of about the same size, whole vectors;
//   in a part, lane l:  c_l = fma(x[l + i L], w[l + i L], c_l) for i = 0, 1, ...  (zeros beyond K),
//   then a fixed tree over lanes; out = ((part 0 + part 1) + part 2) ... + bias.
// Weights convert to float32 exactly, so it does not matter where that happens:
//   - direct, up to 16 rows of x (8 without AVX-512): straight from memory; reading the weight is
//     the limit.
//   - blocked, more rows: a block of the weight is converted into scratch while the first rows use
//     it, then serves all others; multiply-adds are the limit.
// Bytes at least: the weight once, x and out once.
#ifndef WINNOW_KERNELS_CPU_LINEAR_H_
#define WINNOW_KERNELS_CPU_LINEAR_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/dense.h"

namespace winnow::cpu {

// Uses the pool's thread scratch. Weights may lie at any multiple of 2 bytes.
void Linear(ThreadPool& pool, const LinearArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_LINEAR_H_
