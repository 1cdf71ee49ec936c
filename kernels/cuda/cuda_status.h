// CUDA's error codes as statuses: the one place that knows which of them a backend survives.
//
//   if (absl::Status status = CudaStatus(LaunchEmbed(args, stream), "Embed"); !status.ok()) ...
#ifndef WINNOW_KERNELS_CUDA_CUDA_STATUS_H_
#define WINNOW_KERNELS_CUDA_CUDA_STATUS_H_

#include <cuda_runtime_api.h>

#include <string_view>

#include "absl/status/status.h"

namespace winnow::cuda {

// OK, or an error that names `what` was attempted and what CUDA says. RESOURCE_EXHAUSTED: no
// memory; INTERNAL: a call that CUDA refused, after which the device still works; UNAVAILABLE: no
// usable device or driver; DATA_LOSS: everything else (an invalid address, an uncorrectable memory
// error, ...): the context is lost with all that was in device memory, and every later call fails.
absl::Status CudaStatus(cudaError_t error, std::string_view what);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_CUDA_STATUS_H_
