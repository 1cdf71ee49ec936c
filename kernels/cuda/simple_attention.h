// AttentionArgs of kernels/ops/attention.h, one warp per query and head: the plain kernel that the
// fast ones are compared with, and what serves the shapes that they do not.
//
// Keys, values and pages of one type, kF32 or kBF16; arithmetic float32. Keys are visited in blocks
// of 32 (a lane scores one), in the order kept slots, ring, own tokens; softmax with a running
// maximum. A row's result depends on its own sequence alone, bit for bit. Bytes: each query reads
// every key and value that it sees, from the cache where heads share them.
#ifndef WINNOW_KERNELS_CUDA_SIMPLE_ATTENTION_H_
#define WINNOW_KERNELS_CUDA_SIMPLE_ATTENTION_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

// Largest head_dim.
inline constexpr int64_t kMaxSimpleHeadDim = 512;

// cudaErrorInvalidValue: larger heads, or an element type that it does not know.
cudaError_t LaunchSimpleAttention(const AttentionArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_SIMPLE_ATTENTION_H_
