// WriteKvArgs of kernels/ops/attention.h.
//
// Keys, values and pages of one type, kF32 or kBF16. A block writes one sequence and head. Bytes:
// each key and value that moves is read and written once; with a plan, 8 bytes per kept slot.
// Writing to a place without a page (in any slot but 0) is a broken invariant and traps: the
// context is lost.
#ifndef WINNOW_KERNELS_CUDA_WRITE_KV_H_
#define WINNOW_KERNELS_CUDA_WRITE_KV_H_

#include <cuda_runtime_api.h>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

cudaError_t LaunchWriteKv(const WriteKvArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_WRITE_KV_H_
