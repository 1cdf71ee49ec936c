// The parts of cuBLASLt that are used here, from a library opened at run time.
//
// libcublasLt is half a gigabyte and belongs to the machine's CUDA installation: it is neither
// linked nor bundled. The headers it was compiled with are version 13's.
#ifndef WINNOW_KERNELS_CUDA_CUBLAS_LT_H_
#define WINNOW_KERNELS_CUDA_CUBLAS_LT_H_

#include <cublasLt.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace winnow::cuda {

inline constexpr char kCublasLtLibrary[] = "libcublasLt.so.13";

// The functions by their names without the prefix. Open as long as this object lives.
class CublasLt {
 public:
  // `path`: of the library; empty: kCublasLtLibrary where the loader finds it. NOT_FOUND naming
  // what was tried and what the loader said; FAILED_PRECONDITION when a function is missing or the
  // major version is another.
  static absl::StatusOr<std::unique_ptr<CublasLt>> Open(const std::string& path);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  // OK, or INTERNAL naming `what` was attempted; DATA_LOSS where the device failed.
  absl::Status Status(cublasStatus_t status, std::string_view what) const;

  decltype(&cublasLtCreate) Create = nullptr;
  decltype(&cublasLtDestroy) Destroy = nullptr;
  decltype(&cublasLtGetStatusName) GetStatusName = nullptr;
  decltype(&cublasLtGetVersion) GetVersion = nullptr;
  decltype(&cublasLtMatmul) Matmul = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) MatmulAlgoGetHeuristic = nullptr;
  decltype(&cublasLtMatmulDescCreate) MatmulDescCreate = nullptr;
  decltype(&cublasLtMatmulDescDestroy) MatmulDescDestroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) MatmulDescSetAttribute = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) MatmulPreferenceCreate = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) MatmulPreferenceDestroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) MatmulPreferenceSetAttribute = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) MatrixLayoutCreate = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) MatrixLayoutDestroy = nullptr;

 private:
  explicit CublasLt(void* library) : library_(library) {}
  absl::Status LoadFunctions();

  void* const library_;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_CUBLAS_LT_H_
