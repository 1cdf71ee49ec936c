// Arrays from one float type to another.
#ifndef WINNOW_KERNELS_CUDA_CAST_KERNELS_H_
#define WINNOW_KERNELS_CUDA_CAST_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/dtype.h"

namespace winnow::cuda {

// out[i] = in[i], rounded to nearest where the new type is narrower. From kF32, kF16 or kBF16 to
// kF32 or kBF16; REQUIRES: the arrays do not overlap. Bytes: each array once.
cudaError_t LaunchCast(const void* in, DType from, void* out, DType to, int64_t count,
                       cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_CAST_KERNELS_H_
