// LinearArgs of kernels/ops/dense.h for few rows on Hopper's tensor cores, as fast as the weight
// streams in: out [T, N] = x [T, K] W [N, K]^T, bf16 operands, float32 sums, without the bias.
//
// A block has kStreamedOutputs rows of W and one of `split` shares of K; the copy engine brings its
// piece of both matrices through a ring in shared memory of about 100 KB. The blocks of a split are
// a cluster, which adds their sums in the order of K: no scratch, no atomics. Bytes: W once; x,
// from the L2 cache, N / kStreamedOutputs times.
//
// Launched early (launch.h): a block fills its ring with W while the kernel before it still runs,
// so W must have been complete before that one was launched. x and out are waited for. The next
// kernel may start once the last of W has been asked for.
//
// A row's result depends on the number of rows through its power of two only, and on the split.
#ifndef WINNOW_KERNELS_CUDA_STREAMED_LINEAR_H_
#define WINNOW_KERNELS_CUDA_STREAMED_LINEAR_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "kernels/ops/dense.h"

namespace winnow::cuda {

inline constexpr int64_t kMaxStreamedRows = 128;
inline constexpr int64_t kStreamedOutputs = 128;
// Blocks of a portable cluster.
inline constexpr int kMaxStreamedSplit = 8;

// Whether the kernel takes these: at most kMaxStreamedRows rows, bf16 operands, out kBF16 or kF32,
// rows of x and W that begin at multiples of 16 bytes.
bool TakesStreamedLinear(const LinearArgs& args);

// The splits of [N, K] among which the fastest is to be expected, three at most: all blocks run at
// once and keep so many multiprocessors evenly busy. The most even first.
std::vector<int> StreamedLinearSplits(int64_t num_outputs, int64_t num_inputs,
                                      int num_multiprocessors);

// cudaErrorInvalidValue: not TakesStreamedLinear, a split outside 1 .. kMaxStreamedSplit.
cudaError_t LaunchStreamedLinear(const LinearArgs& args, int split, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_STREAMED_LINEAR_H_
