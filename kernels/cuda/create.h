// The CUDA backend, for those who choose between backends. Exists in every build: one without CUDA
// says so.
#ifndef WINNOW_KERNELS_CUDA_CREATE_H_
#define WINNOW_KERNELS_CUDA_CREATE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/dtype.h"

namespace winnow::cuda {

struct CudaOptions {
  int device = 0;
  double memory_fraction = 0.9;  // (0, 1]: of the device's memory, what may be allocated
  // kBF16: matrices, activations, keys and values in bf16, sums in float32; kF32: all in float32.
  DType compute = DType::kBF16;
  std::string cublaslt = {};  // path of libcublasLt.so.13; empty: where the loader finds it
};

// UNIMPLEMENTED in a build without CUDA; UNAVAILABLE: no driver, no device, or not a Hopper;
// NOT_FOUND: no cuBLASLt.
absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(const CudaOptions& options);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_CREATE_H_
