#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/check.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cast_kernels.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/router.h"
#include "kernels/cuda/status_macros.h"

namespace winnow::cuda {
namespace {

// The compute capability that the kernels are compiled for.
constexpr int kMajor = 9, kMinor = 0;
// Edits of logits that one launch of the sampling kernel has room for; at least the vocabulary.
constexpr int64_t kMinEdits = int64_t{1} << 18;

int64_t MaxEdits(const OpLimits& limits) { return std::max(kMinEdits, limits.vocab_size); }

// For one op at a time.
int64_t ScratchBytes(const OpLimits& limits, DType compute) {
  const int64_t router =
      RouterScratchBytes(limits.max_tokens, limits.num_kv_heads * limits.router_outputs);
  if (compute != DType::kBF16) return router;
  const size_t chunks = GatedDeltaChunkedScratchBytes(limits.max_tokens, limits.max_sequences,
                                                      limits.num_value_heads);
  return std::max(router, static_cast<int64_t>(chunks));
}

int64_t AttentionBytes(const OpLimits& limits) {
  return AttentionScratchBytes(limits.max_sequences, limits.num_query_heads, limits.num_kv_heads,
                               limits.head_dim);
}

// The sizes of the sampling op's arrays.
struct SampleBytes {
  explicit SampleBytes(const OpLimits& limits)
      : rows(limits.max_logits_rows * static_cast<int64_t>(sizeof(SampleRow))),
        edits(MaxEdits(limits) * static_cast<int64_t>(sizeof(TokenEdit))),
        saved(MaxEdits(limits) * static_cast<int64_t>(sizeof(float))),
        outputs(limits.max_logits_rows * static_cast<int64_t>(sizeof(SampleOutput))) {}
  int64_t rows, edits, saved, outputs;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CudaBackend>> CudaBackend::Create(const CudaOptions& options) {
  WINNOW_CHECK(options.compute == DType::kBF16 || options.compute == DType::kF32)
      << DTypeName(options.compute);
  if (!(options.memory_fraction > 0 && options.memory_fraction <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("the fraction of the device's memory is ",
                                                   options.memory_fraction, ", must be in (0, 1]"));
  }
  std::unique_ptr<CudaBackend> backend(new CudaBackend(options));
  WINNOW_RETURN_IF_ERROR(backend->Init());
  return backend;
}

absl::Status CudaBackend::Init() {
  cudaDeviceProp device;
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(options_.device), "choosing the device"));
  WINNOW_RETURN_IF_ERROR(
      CudaStatus(cudaGetDeviceProperties(&device, options_.device), "asking for the device"));
  if (device.major != kMajor || device.minor != kMinor) {
    return absl::UnavailableError(
        absl::StrCat(device.name, " has compute capability ", device.major, ".", device.minor,
                     "; this program's kernels are made for ", kMajor, ".", kMinor, " (Hopper)"));
  }
  size_t free_bytes = 0, total_bytes = 0;
  WINNOW_RETURN_IF_ERROR(
      CudaStatus(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for memory"));
  budget_bytes_ =
      std::min(static_cast<int64_t>(free_bytes),
               static_cast<int64_t>(static_cast<double>(total_bytes) * options_.memory_fraction));
  description_ = absl::StrFormat(
      "%s, %s, %.2f GiB of %.2f GiB", device.name, compute_ == DType::kBF16 ? "bf16" : "float32",
      static_cast<double>(budget_bytes_) / 0x1p30, static_cast<double>(total_bytes) / 0x1p30);
  WINNOW_RETURN_IF_ERROR(
      CudaStatus(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream"));
  auto lt = CublasLt::Open(options_.cublaslt);
  if (!lt.ok()) return lt.status();
  auto staging = Staging::Create(stream_);
  if (!staging.ok()) return staging.status();
  staging_ = *std::move(staging);
  auto workspace = Allocate(Matmul::kWorkspaceBytes);
  if (!workspace.ok()) return workspace.status();
  workspace_ = *std::move(workspace);
  auto matmul = Matmul::Create(*std::move(lt), workspace_.data(), stream_);
  if (!matmul.ok()) return matmul.status();
  matmul_ = *std::move(matmul);
  return absl::OkStatus();
}

CudaBackend::~CudaBackend() {
  if (stream_ != nullptr) cudaStreamSynchronize(stream_);
  for (const auto& [key, graph] : graphs_) {
    if (graph != nullptr) cudaGraphExecDestroy(graph);
  }
  matmul_ = nullptr;
  staging_ = nullptr;
  for (DeviceBuffer* buffer : {&workspace_, &scratch_, &sample_rows_, &sample_edits_,
                               &saved_logits_, &sample_outputs_, &attention_scratch_}) {
    const DeviceBuffer freed = std::move(*buffer);
  }
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

absl::Status CudaBackend::Result(absl::Status status) {
  if (!lost_.ok()) return lost_;
  if (absl::IsDataLoss(status)) lost_ = status;
  return status;
}

absl::Status CudaBackend::Result(cudaError_t error, std::string_view what) {
  return Result(CudaStatus(error, what));
}

absl::StatusOr<DeviceBuffer> CudaBackend::Allocate(int64_t size_bytes) {
  WINNOW_CHECK(size_bytes >= 0) << size_bytes;
  if (size_bytes == 0) return DeviceBuffer();
  if (size_bytes > budget_bytes_ - used_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot allocate ", size_bytes, " bytes of device memory: ", budget_bytes_ - used_bytes_,
        " of ", budget_bytes_, " are left"));
  }
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, size_bytes);
  if (error != cudaSuccess) {
    return Result(error, absl::StrCat("allocating ", size_bytes, " bytes"));
  }
  used_bytes_ += size_bytes;
  DeviceBuffer buffer(this, static_cast<std::byte*>(memory), size_bytes);
  WINNOW_RETURN_IF_ERROR(Zero(buffer.data(), size_bytes));
  return buffer;
}

void CudaBackend::Free(std::byte* device, int64_t size_bytes) {
  cudaFree(device);
  used_bytes_ -= size_bytes;
}

absl::Status CudaBackend::Upload(std::byte* device, const void* host, int64_t size_bytes) {
  return Result(staging_->Upload(device, host, size_bytes));
}

absl::Status CudaBackend::Download(void* host, const std::byte* device, int64_t size_bytes) {
  auto* to = static_cast<std::byte*>(host);
  while (size_bytes > 0) {
    const int64_t bytes = std::min(size_bytes, Staging::kHalfBytes);
    WINNOW_RETURN_IF_ERROR(Result(staging_->Download(
        device, bytes, [to, bytes](const std::byte* pinned) { std::memcpy(to, pinned, bytes); })));
    to += bytes;
    device += bytes;
    size_bytes -= bytes;
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::UploadFloats(std::byte* device, DType to, const void* host, DType from,
                                       int64_t count) {
  if (to == from) return Upload(device, host, count * DTypeBytes(to));
  const auto* source = static_cast<const std::byte*>(host);
  const int64_t at_once = workspace_.size_bytes() / DTypeBytes(from);
  for (int64_t begin = 0; begin < count; begin += at_once) {
    const int64_t n = std::min(at_once, count - begin);
    WINNOW_RETURN_IF_ERROR(
        Upload(workspace_.data(), source + begin * DTypeBytes(from), n * DTypeBytes(from)));
    WINNOW_RETURN_IF_ERROR(
        Result(LaunchCast(workspace_.data(), from, device + begin * DTypeBytes(to), to, n, stream_),
               "a conversion"));
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::Zero(std::byte* device, int64_t size_bytes) {
  return Result(cudaMemsetAsync(device, 0, size_bytes, stream_), "zeroing memory");
}

absl::Status CudaBackend::Copy(std::byte* to, const std::byte* from, int64_t size_bytes) {
  return Result(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToDevice, stream_),
                "copying memory");
}

absl::Status CudaBackend::Synchronize() { return Result(staging_->Synchronize()); }

absl::Status CudaBackend::Fence() { return Result(staging_->Fence()); }

absl::Status CudaBackend::WaitForFence() { return Result(staging_->WaitForFence()); }

absl::Status CudaBackend::Replay(uint64_t key, const std::function<absl::Status()>& issue) {
  const auto [place, is_new] = graphs_.emplace(key, nullptr);
  if (is_new) return issue();
  if (place->second == nullptr) WINNOW_RETURN_IF_ERROR(Record(issue, &place->second));
  return Result(cudaGraphLaunch(place->second, stream_), "replaying a step");
}

absl::Status CudaBackend::Record(const std::function<absl::Status()>& issue,
                                 cudaGraphExec_t* graph) {
  WINNOW_RETURN_IF_ERROR(
      Result(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording"));
  absl::Status status = issue();
  cudaGraph_t recorded = nullptr;
  status.Update(Result(cudaStreamEndCapture(stream_, &recorded), "recording"));
  if (status.ok()) status = Result(cudaGraphInstantiate(graph, recorded, 0), "recording");
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  return status;
}

void CudaBackend::ForgetReplay(uint64_t key) {
  const auto place = graphs_.find(key);
  if (place == graphs_.end()) return;
  if (place->second != nullptr) {
    cudaStreamSynchronize(stream_);
    cudaGraphExecDestroy(place->second);
  }
  graphs_.erase(place);
}

int64_t CudaBackend::ReservedBytes(const OpLimits& limits) const {
  const SampleBytes sample(limits);
  return ScratchBytes(limits, activation_dtype()) + AttentionBytes(limits) + sample.rows +
         sample.edits + sample.saved + sample.outputs;
}

absl::Status CudaBackend::Reserve(const OpLimits& limits) {
  if (limits.head_dim > kMaxAttentionHeadDim) {
    return absl::UnimplementedError(absl::StrCat("attention heads of ", limits.head_dim,
                                                 " dims; the CUDA kernels take at most ",
                                                 kMaxAttentionHeadDim));
  }
  limits_.max_logits_rows = std::max(limits_.max_logits_rows, limits.max_logits_rows);
  limits_.vocab_size = std::max(limits_.vocab_size, limits.vocab_size);
  const SampleBytes sample(limits_);
  absl::Status status;
  const auto take = [&](DeviceBuffer* buffer, int64_t bytes) {
    if (bytes <= buffer->size_bytes()) return;
    auto memory = Allocate(bytes);
    if (memory.ok()) *buffer = *std::move(memory);
    status.Update(memory.status());
  };
  take(&scratch_, ScratchBytes(limits, activation_dtype()));
  take(&attention_scratch_, AttentionBytes(limits));
  take(&sample_rows_, sample.rows);
  take(&sample_edits_, sample.edits);
  take(&saved_logits_, sample.saved);
  take(&sample_outputs_, sample.outputs);
  return status;
}

}  // namespace winnow::cuda
