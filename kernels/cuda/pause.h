// What stands around a product in a step, for measuring products as they run there.
#ifndef WINNOW_KERNELS_CUDA_PAUSE_H_
#define WINNOW_KERNELS_CUDA_PAUSE_H_

#include <cuda_runtime_api.h>

namespace winnow::cuda {

// A kernel about as long and wide as a step's short ones (a norm, a gate: 2 us), launched early
// (launch.h), that leaves memory alone. So a product that starts early is seen to save time behind
// it, and one that lets the next kernel start early before it.
cudaError_t LaunchPause(cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_PAUSE_H_
