// Copies between ordinary host memory and the device through pinned buffers, so that they run
// beside the caller.
//
// Uploads go through a ring of two halves: a half is filled again when the copies from it are done.
// Downloads wait in two more halves until the stream was waited for: those before the oldest open
// fence in one, what follows in the other, so that they can be delivered one after the other. One
// thread, one stream.
#ifndef WINNOW_KERNELS_CUDA_STAGING_H_
#define WINNOW_KERNELS_CUDA_STAGING_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace winnow::cuda {

class Staging {
 public:
  // Bytes of each half of the ring, and of the download buffer.
  static constexpr int64_t kHalfBytes = int64_t{8} << 20;
  static constexpr int kMaxFences = 2;

  static absl::StatusOr<std::unique_ptr<Staging>> Create(cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // In order with the stream's work; `host` may be reused when the call returns.
  absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes);

  // Calls `take(bytes)` with the downloaded bytes when they are waited for, in the order of the
  // downloads.
  using Take = std::function<void(const std::byte* bytes)>;
  // REQUIRES: size_bytes <= kHalfBytes; fewer than kMaxFences fences are open.
  absl::Status Download(const std::byte* device, int64_t size_bytes, Take take);

  // Waits for the stream, then delivers all downloads; drops them if the wait fails, and so will
  // the wait for each fence that is open.
  absl::Status Synchronize();

  // Opens a fence here; waits for the oldest open one, closes it and delivers the downloads before
  // it, or drops them if the wait fails. REQUIRES: fewer than kMaxFences are open; one is.
  absl::Status Fence();
  absl::Status WaitForFence();

 private:
  struct Pending {
    const std::byte* bytes = nullptr;
    Take take;
  };

  // The downloads up to a fence, or those since the last one.
  struct Downloads {
    int64_t used = 0;  // bytes of the half
    std::vector<Pending> pending;
    cudaEvent_t fence = nullptr;
    absl::Status dropped;  // an earlier wait failed
  };

  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  absl::Status Init();
  int64_t open_fences() const { return num_fences_ - num_waited_; }
  static void Deliver(absl::Status status, Downloads* downloads);
  // Goes on in the other half, once it is free.
  absl::Status TurnRing();

  const cudaStream_t stream_;
  std::byte* ring_ = nullptr;  // [2, kHalfBytes] pinned
  int half_ = 0;
  int64_t used_ = 0;                          // of the half at work
  cudaEvent_t done_[2] = {nullptr, nullptr};  // the copies from each half

  std::byte* downloaded_ = nullptr;  // [2, kHalfBytes] pinned
  // Fence f's are downloads_[f % 2]; those since the last one go where the next one's will be.
  Downloads downloads_[kMaxFences];
  int64_t num_fences_ = 0, num_waited_ = 0;  // opened, and closed
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_STAGING_H_
