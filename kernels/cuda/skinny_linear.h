// LinearArgs of kernels/ops/dense.h for few rows: a warp reads a row of the weight once for up to
// kSkinnyRows rows of x, which lie in shared memory.
//
// x and weight of one type, kF32 or kBF16, out either; sums float32, any shape and alignment;
// without the bias. Bytes: the weight once per kSkinnyRows rows. A row's result does not depend on
// the number of rows, bit for bit. Made for what cuBLASLt does badly (a row or a few) or not at
// all.
//
// Launched early (launch.h): the L2 cache is asked for the weight's first columns while the kernel
// before still runs.
#ifndef WINNOW_KERNELS_CUDA_SKINNY_LINEAR_H_
#define WINNOW_KERNELS_CUDA_SKINNY_LINEAR_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/dense.h"

namespace winnow::cuda {

inline constexpr int64_t kSkinnyRows = 4;

// cudaErrorInvalidValue: an element type that it does not know, x and weight of different types.
cudaError_t LaunchSkinnyLinear(const LinearArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_SKINNY_LINEAR_H_
