#include <utility>

#include "kernels/cuda/create.h"
#include "kernels/cuda/cuda_backend.h"

namespace winnow::cuda {

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaOptions& options) {
  auto backend = CudaBackend::Create(options);
  if (!backend.ok()) return backend.status();
  return std::unique_ptr<Backend>(*std::move(backend));
}

}  // namespace winnow::cuda
