// ShortConvArgs of kernels/ops/gated_delta.h: the ragged causal convolution with its history.
//
// Activations kF32 or kBF16, sums and history float32. Bytes: x, out and weight once (x width times
// from the cache), the history of each sequence in the step read and written once. A row's result
// depends on its own sequence alone, bit for bit, however the prompt is cut. Tested against
// kernels/cpu/short_conv.h.
#ifndef WINNOW_KERNELS_CUDA_SHORT_CONV_H_
#define WINNOW_KERNELS_CUDA_SHORT_CONV_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "kernels/ops/gated_delta.h"

namespace winnow::cuda {

// Widest convolution.
inline constexpr int64_t kMaxShortConvWidth = 65;

// Convolutions that go into one launch.
inline constexpr int kMaxShortConvs = 3;

// All convolutions of one batch, which has to be the same for all. cudaErrorInvalidValue: a wider
// one, or an element type that it does not know.
cudaError_t LaunchShortConvs(const std::vector<ShortConvArgs>& parts, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_SHORT_CONV_H_
