// RouterScoresArgs of kernels/ops/attention.h for steps of single tokens: all convolutions of a few
// sequences and one head in one block, their streams in shared memory.
//
// Arithmetic float32. A convolution's inputs are dealt out to groups of threads and their sums
// added in one order: a score depends on its own sequence alone, bit for bit; it agrees with the
// kernels in router.h to rounding. Bytes: filters once per block (from the cache), histories read
// and written once.
#ifndef WINNOW_KERNELS_CUDA_ROUTER_STEP_H_
#define WINNOW_KERNELS_CUDA_ROUTER_STEP_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

// Whether the step has single tokens only and the router is one that LaunchRouterStep serves.
bool IsRouterStep(const RouterScoresArgs& args);

// cudaErrorInvalidValue: an element type that it does not know. REQUIRES IsRouterStep(args).
cudaError_t LaunchRouterStep(const RouterScoresArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ROUTER_STEP_H_
