// LinearArgs of kernels/ops/dense.h on the device: by cuBLASLt, by the streaming kernel up to
// kMaxStreamedRows rows of bf16 (streamed_linear.h), or by the skinny kernel (skinny_linear.h) for
// a few rows and for what neither of the others takes.
//
// Operands of one type, kBF16 or kF32; sums float32 in both, never TF32. Which algorithm computes a
// product is measured once per shape and remembered: per (power of two of rows, outputs, inputs,
// types, alignments). Each is measured as it would run in a step: between two short kernels, with
// the caches flushed before. The sums of a row are therefore taken in an order that depends on how
// many rows there are: results agree to rounding between batches.
//
// A weight must be complete before the kernel ahead of its product is launched (streamed_linear.h).
//
// One thread; all work goes to one stream.
#ifndef WINNOW_KERNELS_CUDA_MATMUL_H_
#define WINNOW_KERNELS_CUDA_MATMUL_H_

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/ops/dense.h"

namespace winnow::cuda {

class Matmul {
 public:
  // Bytes of workspace for Create: more than the caches of the device, which writing it flushes.
  static constexpr int64_t kWorkspaceBytes = int64_t{128} << 20;

  // `lt` moves in; `workspace`, device memory of kWorkspaceBytes, and `stream` must outlive this.
  static absl::StatusOr<std::unique_ptr<Matmul>> Create(std::unique_ptr<CublasLt> lt,
                                                        std::byte* workspace, cudaStream_t stream);
  ~Matmul();

  // out = x W^T, without the bias. The first call with a shape measures and so waits for the
  // stream.
  absl::Status Run(const LinearArgs& args);

 private:
  // What the choice of an algorithm depends on.
  struct Shape {
    int64_t rows_bucket, num_outputs, num_inputs, x_stride, out_stride;
    DType in, out;
    uint32_t x_alignment, weight_alignment, out_alignment;
    auto operator<=>(const Shape&) const = default;
  };
  enum class Kernel { kCublasLt, kStreamed, kSkinny };
  struct Choice {
    Kernel kernel = Kernel::kSkinny;
    int split = 1;                        // of kStreamed
    cublasLtMatmulAlgo_t algorithm = {};  // of kCublasLt
  };
  struct Descriptors;  // of one product

  Matmul(std::unique_ptr<CublasLt> lt, std::byte* workspace, cudaStream_t stream)
      : lt_(std::move(lt)), workspace_(workspace), stream_(stream) {}
  absl::Status Init();

  absl::StatusOr<std::vector<Choice>> CublasLtCandidates(const Shape& shape,
                                                         const Descriptors& descriptors);
  void AddOwnCandidates(const LinearArgs& args, const Shape& shape,
                        std::vector<Choice>* choices) const;
  absl::StatusOr<Choice> Choose(const LinearArgs& args, const Shape& shape,
                                const Descriptors& descriptors);
  // Milliseconds with a pause before and after; infinity where it does not run.
  absl::StatusOr<float> Measure(const LinearArgs& args, const Choice& choice,
                                const Descriptors& descriptors);
  absl::StatusOr<float> TimeOnce(const LinearArgs& args, const Choice& choice,
                                 const Descriptors& descriptors);
  absl::Status Launch(const LinearArgs& args, const Choice& choice, const Descriptors& descriptors);
  // A choice other than kCublasLt.
  absl::Status LaunchOwn(const LinearArgs& args, const Choice& choice);

  const std::unique_ptr<CublasLt> lt_;
  std::byte* const workspace_;
  const cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  int num_multiprocessors_ = 0;
  std::map<Shape, Choice> choices_;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_MATMUL_H_
