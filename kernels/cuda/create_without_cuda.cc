#include "absl/status/status.h"
#include "kernels/cuda/create.h"

namespace winnow::cuda {

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaOptions&) {
  return absl::UnimplementedError(
      "this program was built without CUDA: there was no nvcc (docs/gpu.md)");
}

}  // namespace winnow::cuda
