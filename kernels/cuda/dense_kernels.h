// Launchers of the ops without sequence state, except for matrix products (cublas_lt.h).
//
// Each launches the op of its arguments (kernels/ops/dense.h) and returns what CUDA said of the
// launch; cudaErrorInvalidValue for an element type that it does not know. Activations are kF32 or
// kBF16; sums are float32. Every output row depends on its own input row alone, bit for bit. Tested
// against kernels/cpu.
#ifndef WINNOW_KERNELS_CUDA_DENSE_KERNELS_H_
#define WINNOW_KERNELS_CUDA_DENSE_KERNELS_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/dense.h"

namespace winnow::cuda {

cudaError_t LaunchEmbed(const EmbedArgs& args, cudaStream_t stream);
cudaError_t LaunchRmsNorm(const RmsNormArgs& args, cudaStream_t stream);
cudaError_t LaunchRopeTable(const RopeTableArgs& args, cudaStream_t stream);
cudaError_t LaunchRope(const RopeArgs& args, cudaStream_t stream);
cudaError_t LaunchSwiGlu(const SwiGluArgs& args, cudaStream_t stream);
cudaError_t LaunchSilu(const SiluArgs& args, cudaStream_t stream);
cudaError_t LaunchGatedRmsNorm(const GatedRmsNormArgs& args, cudaStream_t stream);
cudaError_t LaunchGatherRows(const GatherRowsArgs& args, cudaStream_t stream);

// out[t] += bias.  out: [T, N].
cudaError_t LaunchAddBias(const TensorView& out, const float* bias, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_DENSE_KERNELS_H_
