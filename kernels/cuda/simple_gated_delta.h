// GatedDeltaArgs of kernels/ops/gated_delta.h in the recurrent form, row after row, for any number
// of rows and any shape: the plain kernel that the fast ones are compared with, and what serves the
// shapes that they do not.
//
// Activations kF32 or kBF16, state and all arithmetic float32. A block holds a tile of S in
// registers, all Dk rows of some columns, while it walks through its sequence's rows. Bytes: S read
// and written once per sequence and step; q and k once per tile. A row's result depends on its own
// sequence alone, bit for bit, however the prompt is cut.
#ifndef WINNOW_KERNELS_CUDA_SIMPLE_GATED_DELTA_H_
#define WINNOW_KERNELS_CUDA_SIMPLE_GATED_DELTA_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/gated_delta.h"

namespace winnow::cuda {

// Largest key_dim.
inline constexpr int64_t kMaxSimpleKeyDim = 1024;

// cudaErrorInvalidValue: larger keys, or an element type that it does not know. `a` and `b` have
// the type of q or are float32.
cudaError_t LaunchSimpleGatedDelta(const GatedDeltaArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_SIMPLE_GATED_DELTA_H_
