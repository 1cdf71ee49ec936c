// RouterScoresArgs of kernels/ops/attention.h.
//
// Keys and values kF32 or kBF16, everything else float32. A convolution is a product of the tile's
// inputs [16 rows, taps * in] with its filters [taps * in, out], summed in one order: a row's score
// depends on its own sequence alone, bit for bit, however the prompt is cut. Bytes: filters once
// per tile (from the cache), each convolution's outputs written once and read `taps` times, the
// histories of the sequences in the step read and written once. Tested against
// kernels/cpu/router.h.
#ifndef WINNOW_KERNELS_CUDA_ROUTER_H_
#define WINNOW_KERNELS_CUDA_ROUTER_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

// Bytes of scratch that LaunchRouterScores needs for `num_tokens` rows and `outputs` = Hkv times
// the sum of the convolutions' `out`.
int64_t RouterScratchBytes(int64_t num_tokens, int64_t outputs);

// cudaErrorInvalidValue: an element type that it does not know, or no convolutions.
cudaError_t LaunchRouterScores(const RouterScoresArgs& args, std::byte* scratch,
                               cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ROUTER_H_
