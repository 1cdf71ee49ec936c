// RouterScoresArgs of kernels/ops/attention.h for steps of single tokens: all convolutions of some
// sequences and one head in one block, filters, histories and outputs in shared memory.
//
// Arithmetic float32. A convolution's inputs are dealt out to threads and their sums added in an
// order that its shape alone decides: a score depends on its own sequence alone, bit for bit; it
// agrees with the kernels in router.h to rounding. Tested against kernels/cpu/router.h.
//
// Bytes: the head's filters once per block (from the cache, but for the first one's), histories
// read and written once, k and v read once. The launch is an early one (LaunchEarly in launch.h):
// filters are copied before the kernel ahead of it is done, so they must have been in place when
// that one was launched.
#ifndef WINNOW_KERNELS_CUDA_ROUTER_STEP_H_
#define WINNOW_KERNELS_CUDA_ROUTER_STEP_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

// Whether the step has single tokens only and the router is one that LaunchRouterStep serves: up to
// four convolutions, inputs and outputs of each a multiple of 4 and outputs up to 1024, arrays
// aligned to 16 bytes (those of the models are), and room for it all in shared memory. The models'
// (8 or 16 heads of 64, three convolutions of size 3 and dilation 2) take 126 KB for filters and
// 222 KB in all; heads of 128 alike do not fit.
bool IsRouterStep(const RouterScoresArgs& args);

// cudaErrorInvalidValue: an element type that it does not know. REQUIRES IsRouterStep(args).
cudaError_t LaunchRouterStep(const RouterScoresArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ROUTER_STEP_H_
