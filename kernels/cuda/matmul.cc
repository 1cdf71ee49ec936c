#include "kernels/cuda/matmul.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/pause.h"
#include "kernels/cuda/skinny_linear.h"
#include "kernels/cuda/status_macros.h"
#include "kernels/cuda/streamed_linear.h"

namespace winnow::cuda {
namespace {

// Algorithms of cuBLASLt's own ranking that are measured, and runs of each.
constexpr int kMaxAlgorithms = 8;
constexpr int kRuns = 4;
// The skinny kernel takes part up to so many rows.
constexpr int64_t kMaxSkinnyRows = 2 * kSkinnyRows;
// Alignments above this make no difference.
constexpr uint32_t kMaxAlignment = 16;

cudaDataType_t TypeOf(DType dtype) { return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

uint32_t AlignmentOf(const void* pointer) {
  const auto bits = reinterpret_cast<uintptr_t>(pointer) | kMaxAlignment;
  return static_cast<uint32_t>(bits & -bits);
}

}  // namespace

// cuBLASLt thinks in columns: out^T [N, T] = W [N, K] x^T [K, T], where W is stored as the
// transpose of a column-major [K, N].
struct Matmul::Descriptors {
  explicit Descriptors(const CublasLt& lt) : lt(lt) {}
  ~Descriptors() {
    if (operation != nullptr) lt.MatmulDescDestroy(operation);
    for (cublasLtMatrixLayout_t layout : {weight, x, out}) {
      if (layout != nullptr) lt.MatrixLayoutDestroy(layout);
    }
  }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  absl::Status Init(const LinearArgs& args) {
    const cublasOperation_t transpose = CUBLAS_OP_T;
    const int64_t rows = args.x.dim(0), outputs = args.weight.rows, inputs = args.weight.cols;
    const cudaDataType_t in_type = TypeOf(args.x.dtype), out_type = TypeOf(args.out.dtype);
    cublasStatus_t status = lt.MatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    const auto then = [&](cublasStatus_t next) {
      if (status == CUBLAS_STATUS_SUCCESS) status = next;
    };
    then(lt.MatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                   sizeof(transpose)));
    then(lt.MatrixLayoutCreate(&weight, in_type, inputs, outputs, inputs));
    then(lt.MatrixLayoutCreate(&x, in_type, inputs, rows, args.x.row_stride));
    then(lt.MatrixLayoutCreate(&out, out_type, outputs, rows, args.out.row_stride));
    return lt.Status(status, "describing a product");
  }

  const CublasLt& lt;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, out = nullptr;
};

absl::StatusOr<std::unique_ptr<Matmul>> Matmul::Create(std::unique_ptr<CublasLt> lt,
                                                       std::byte* workspace, cudaStream_t stream) {
  std::unique_ptr<Matmul> matmul(new Matmul(std::move(lt), workspace, stream));
  WINNOW_RETURN_IF_ERROR(matmul->Init());
  return matmul;
}

absl::Status Matmul::Init() {
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaEventCreate(&begin_), "creating an event"));
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaEventCreate(&end_), "creating an event"));
  int device = 0;
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaGetDevice(&device), "asking for the device"));
  WINNOW_RETURN_IF_ERROR(CudaStatus(
      cudaDeviceGetAttribute(&num_multiprocessors_, cudaDevAttrMultiProcessorCount, device),
      "asking for the device"));
  return lt_->Status(lt_->Create(&handle_), "creating a handle");
}

Matmul::~Matmul() {
  if (handle_ != nullptr) lt_->Destroy(handle_);
  for (cudaEvent_t event : {begin_, end_}) {
    if (event != nullptr) cudaEventDestroy(event);
  }
}

absl::Status Matmul::Run(const LinearArgs& args) {
  WINNOW_CHECK(args.weight.dtype == args.x.dtype)
      << DTypeName(args.weight.dtype) << " weight, " << DTypeName(args.x.dtype) << " inputs";
  if (args.x.dim(0) == 0) return absl::OkStatus();
  const Shape shape = {
      .rows_bucket = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(args.x.dim(0)))),
      .num_outputs = args.weight.rows,
      .num_inputs = args.weight.cols,
      .x_stride = args.x.row_stride,
      .out_stride = args.out.row_stride,
      .in = args.x.dtype,
      .out = args.out.dtype,
      .x_alignment = AlignmentOf(args.x.raw),
      .weight_alignment = AlignmentOf(args.weight.data),
      .out_alignment = AlignmentOf(args.out.raw)};
  auto choice = choices_.find(shape);
  if (choice != choices_.end() && choice->second.kernel != Kernel::kCublasLt) {
    return LaunchOwn(args, choice->second);
  }
  Descriptors descriptors(*lt_);
  WINNOW_RETURN_IF_ERROR(descriptors.Init(args));
  if (choice == choices_.end()) {
    auto chosen = Choose(args, shape, descriptors);
    if (!chosen.ok()) return chosen.status();
    choice = choices_.emplace(shape, *chosen).first;
  }
  return Launch(args, choice->second, descriptors);
}

absl::Status Matmul::Launch(const LinearArgs& args, const Choice& choice,
                            const Descriptors& descriptors) {
  if (choice.kernel != Kernel::kCublasLt) return LaunchOwn(args, choice);
  const float one = 1, zero = 0;
  return lt_->Status(
      lt_->Matmul(handle_, descriptors.operation, &one, args.weight.data, descriptors.weight,
                  args.x.raw, descriptors.x, &zero, args.out.raw, descriptors.out, args.out.raw,
                  descriptors.out, &choice.algorithm, workspace_, kWorkspaceBytes, stream_),
      "Linear");
}

absl::Status Matmul::LaunchOwn(const LinearArgs& args, const Choice& choice) {
  WINNOW_CHECK(choice.kernel != Kernel::kCublasLt);
  const cudaError_t error = choice.kernel == Kernel::kStreamed
                                ? LaunchStreamedLinear(args, choice.split, stream_)
                                : LaunchSkinnyLinear(args, stream_);
  return CudaStatus(error, "Linear");
}

absl::StatusOr<std::vector<Matmul::Choice>> Matmul::CublasLtCandidates(
    const Shape& shape, const Descriptors& descriptors) {
  cublasLtMatmulPreference_t preference = nullptr;
  WINNOW_RETURN_IF_ERROR(lt_->Status(lt_->MatmulPreferenceCreate(&preference), "preferences"));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    lt_->MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.weight_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.x_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.out_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.out_alignment);
  std::array<cublasLtMatmulHeuristicResult_t, kMaxAlgorithms> results;
  int count = 0;
  const cublasStatus_t status = lt_->MatmulAlgoGetHeuristic(
      handle_, descriptors.operation, descriptors.weight, descriptors.x, descriptors.out,
      descriptors.out, preference, kMaxAlgorithms, results.data(), &count);
  lt_->MatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS) count = 0;  // it has none for this shape
  std::vector<Choice> choices;
  for (int i = 0; i < count; ++i) {
    choices.push_back({.kernel = Kernel::kCublasLt, .algorithm = results[i].algo});
  }
  return choices;
}

void Matmul::AddOwnCandidates(const LinearArgs& args, const Shape& shape,
                              std::vector<Choice>* choices) const {
  if (TakesStreamedLinear(args)) {
    for (const int split :
         StreamedLinearSplits(shape.num_outputs, shape.num_inputs, num_multiprocessors_)) {
      choices->push_back({.kernel = Kernel::kStreamed, .split = split});
    }
  } else if (choices->empty() || shape.rows_bucket <= kMaxSkinnyRows) {
    choices->push_back({.kernel = Kernel::kSkinny});
  }
}

absl::StatusOr<Matmul::Choice> Matmul::Choose(const LinearArgs& args, const Shape& shape,
                                              const Descriptors& descriptors) {
  auto candidates = CublasLtCandidates(shape, descriptors);
  if (!candidates.ok()) return candidates.status();
  AddOwnCandidates(args, shape, &*candidates);
  Choice best = candidates->back();
  float least = std::numeric_limits<float>::infinity();
  for (const Choice& candidate : *candidates) {
    const absl::StatusOr<float> time = Measure(args, candidate, descriptors);
    if (!time.ok()) return time.status();
    if (*time < least) {
      least = *time;
      best = candidate;
    }
  }
  return best;
}

absl::StatusOr<float> Matmul::Measure(const LinearArgs& args, const Choice& choice,
                                      const Descriptors& descriptors) {
  std::array<float, kRuns> times;
  for (float& time : times) {
    const absl::StatusOr<float> once = TimeOnce(args, choice, descriptors);
    if (absl::IsInternal(once.status())) return std::numeric_limits<float>::infinity();
    if (!once.ok()) return once.status();
    time = *once;
  }
  return *std::min_element(times.begin() + 1, times.end());  // the first one warms up
}

absl::StatusOr<float> Matmul::TimeOnce(const LinearArgs& args, const Choice& choice,
                                       const Descriptors& descriptors) {
  WINNOW_RETURN_IF_ERROR(
      CudaStatus(cudaMemsetAsync(workspace_, 0, kWorkspaceBytes, stream_), "flushing the caches"));
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(begin_, stream_), "an event"));
  WINNOW_RETURN_IF_ERROR(CudaStatus(LaunchPause(stream_), "a pause"));
  WINNOW_RETURN_IF_ERROR(Launch(args, choice, descriptors));
  WINNOW_RETURN_IF_ERROR(CudaStatus(LaunchPause(stream_), "a pause"));
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(end_, stream_), "an event"));
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(end_), "measuring a product"));
  float milliseconds = 0;
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaEventElapsedTime(&milliseconds, begin_, end_), "timing"));
  return milliseconds;
}

}  // namespace winnow::cuda
