#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/check.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/status_macros.h"

namespace winnow::cuda {
namespace {

// Copies begin at multiples of this.
constexpr int64_t kAlignment = 64;

int64_t Aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

absl::Status AllocatePinned(std::byte** memory, int64_t size_bytes) {
  void* pinned = nullptr;
  absl::Status status =
      CudaStatus(cudaMallocHost(&pinned, size_bytes), "allocating pinned host memory");
  *memory = static_cast<std::byte*>(pinned);
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Staging>> Staging::Create(cudaStream_t stream) {
  std::unique_ptr<Staging> staging(new Staging(stream));
  WINNOW_RETURN_IF_ERROR(staging->Init());
  return staging;
}

absl::Status Staging::Init() {
  WINNOW_RETURN_IF_ERROR(AllocatePinned(&ring_, 2 * kHalfBytes));
  WINNOW_RETURN_IF_ERROR(AllocatePinned(&downloaded_, kMaxFences * kHalfBytes));
  for (cudaEvent_t* event : {&done_[0], &done_[1], &downloads_[0].fence, &downloads_[1].fence}) {
    WINNOW_RETURN_IF_ERROR(
        CudaStatus(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "creating an event"));
  }
  return absl::OkStatus();
}

Staging::~Staging() {
  for (cudaEvent_t event : {done_[0], done_[1], downloads_[0].fence, downloads_[1].fence}) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  cudaFreeHost(ring_);
  cudaFreeHost(downloaded_);
}

absl::Status Staging::TurnRing() {
  WINNOW_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(done_[half_], stream_), "recording an event"));
  half_ = 1 - half_;
  used_ = 0;
  return CudaStatus(cudaEventSynchronize(done_[half_]), "waiting for uploads");
}

absl::Status Staging::Upload(std::byte* device, const void* host, int64_t size_bytes) {
  const auto* from = static_cast<const std::byte*>(host);
  while (size_bytes > 0) {
    if (used_ == kHalfBytes || (used_ > 0 && used_ + size_bytes > kHalfBytes)) {
      WINNOW_RETURN_IF_ERROR(TurnRing());
    }
    const int64_t bytes = std::min(size_bytes, kHalfBytes - used_);
    std::byte* pinned = ring_ + half_ * kHalfBytes + used_;
    std::memcpy(pinned, from, bytes);
    WINNOW_RETURN_IF_ERROR(CudaStatus(
        cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice, stream_), "an upload"));
    used_ = std::min(kHalfBytes, Aligned(used_ + bytes));
    from += bytes;
    device += bytes;
    size_bytes -= bytes;
  }
  return absl::OkStatus();
}

absl::Status Staging::Download(const std::byte* device, int64_t size_bytes, Take take) {
  WINNOW_CHECK(size_bytes <= kHalfBytes) << size_bytes;
  WINNOW_CHECK(open_fences() < kMaxFences) << open_fences();
  const int64_t half = num_fences_ % kMaxFences;
  Downloads& own = downloads_[half];
  if (own.used + size_bytes > kHalfBytes) WINNOW_RETURN_IF_ERROR(Synchronize());
  std::byte* pinned = downloaded_ + half * kHalfBytes + own.used;
  WINNOW_RETURN_IF_ERROR(CudaStatus(
      cudaMemcpyAsync(pinned, device, size_bytes, cudaMemcpyDeviceToHost, stream_), "a download"));
  own.used = Aligned(own.used + size_bytes);
  own.pending.push_back({pinned, std::move(take)});
  return absl::OkStatus();
}

void Staging::Deliver(absl::Status status, Downloads* downloads) {
  downloads->used = 0;
  for (const Pending& download : std::exchange(downloads->pending, {})) {
    if (status.ok()) download.take(download.bytes);
  }
}

absl::Status Staging::Synchronize() {
  const absl::Status status = CudaStatus(cudaStreamSynchronize(stream_), "waiting for the device");
  for (int64_t fence = num_waited_; fence < num_waited_ + kMaxFences; ++fence) {
    Downloads& downloads = downloads_[fence % kMaxFences];
    Deliver(status, &downloads);
    if (fence < num_fences_) downloads.dropped.Update(status);
  }
  return status;
}

absl::Status Staging::Fence() {
  WINNOW_CHECK(open_fences() < kMaxFences) << open_fences();
  WINNOW_RETURN_IF_ERROR(CudaStatus(
      cudaEventRecord(downloads_[num_fences_ % kMaxFences].fence, stream_), "recording an event"));
  ++num_fences_;
  return absl::OkStatus();
}

absl::Status Staging::WaitForFence() {
  WINNOW_CHECK(open_fences() > 0);
  Downloads& downloads = downloads_[num_waited_++ % kMaxFences];
  absl::Status status = std::exchange(downloads.dropped, absl::OkStatus());
  status.Update(CudaStatus(cudaEventSynchronize(downloads.fence), "waiting for the device"));
  Deliver(status, &downloads);
  return status;
}

}  // namespace winnow::cuda
