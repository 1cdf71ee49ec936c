#include "kernels/cuda/cublas_lt.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace winnow::cuda {
namespace {

constexpr size_t kMajorVersion = 13;
// cublasLtGetVersion: major * 10000 + minor * 100 + patch.
constexpr size_t kMajorUnit = 10000;

}  // namespace

absl::StatusOr<std::unique_ptr<CublasLt>> CublasLt::Open(const std::string& path) {
  const std::string name = path.empty() ? kCublasLtLibrary : path;
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return absl::NotFoundError(absl::StrCat(
        "cannot open cuBLASLt, ", name, ": ", why == nullptr ? "unknown error" : why,
        ". It comes with CUDA 13 (libcublas); --cublaslt=PATH names it where the loader does not "
        "find it"));
  }
  std::unique_ptr<CublasLt> lt(new CublasLt(library));
  if (absl::Status status = lt->LoadFunctions(); !status.ok()) return status;
  if (lt->GetVersion() / kMajorUnit != kMajorVersion) {
    return absl::FailedPreconditionError(absl::StrCat(name, " has version ", lt->GetVersion(),
                                                      ", version ", kMajorVersion, " is needed"));
  }
  return lt;
}

CublasLt::~CublasLt() { dlclose(library_); }

absl::Status CublasLt::LoadFunctions() {
  absl::Status status;
  const auto load = [&](auto* function, const char* name) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(library_, name));
    if (*function == nullptr) {
      status.Update(absl::FailedPreconditionError(absl::StrCat("cuBLASLt has no ", name)));
    }
  };
  load(&Create, "cublasLtCreate");
  load(&Destroy, "cublasLtDestroy");
  load(&GetStatusName, "cublasLtGetStatusName");
  load(&GetVersion, "cublasLtGetVersion");
  load(&Matmul, "cublasLtMatmul");
  load(&MatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic");
  load(&MatmulDescCreate, "cublasLtMatmulDescCreate");
  load(&MatmulDescDestroy, "cublasLtMatmulDescDestroy");
  load(&MatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute");
  load(&MatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate");
  load(&MatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy");
  load(&MatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute");
  load(&MatrixLayoutCreate, "cublasLtMatrixLayoutCreate");
  load(&MatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy");
  return status;
}

absl::Status CublasLt::Status(cublasStatus_t status, std::string_view what) const {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message = absl::StrCat(
      "cuBLASLt: ", absl::string_view(what.data(), what.size()), ": ", GetStatusName(status));
  return status == CUBLAS_STATUS_EXECUTION_FAILED ? absl::DataLossError(message)
                                                  : absl::InternalError(message);
}

}  // namespace winnow::cuda
