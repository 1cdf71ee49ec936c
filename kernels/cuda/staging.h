// Copies between ordinary host memory and the device through pinned buffers, so that they run
// beside the caller.
//
// Uploads go through a ring of two halves: a half is filled again when the copies from it are done.
// Downloads wait in a third buffer until Deliver() after the stream has been waited for. One
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

  static absl::StatusOr<std::unique_ptr<Staging>> Create(cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // In order with the stream's work; `host` may be reused when the call returns.
  absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes);

  // Calls `take(bytes)` with the downloaded bytes in Deliver(), in the order of the downloads.
  using Take = std::function<void(const std::byte* bytes)>;
  // REQUIRES: size_bytes <= kHalfBytes.
  absl::Status Download(const std::byte* device, int64_t size_bytes, Take take);

  // Waits for the stream, then delivers all downloads; drops them if the wait fails.
  absl::Status Synchronize();

 private:
  struct Pending {
    const std::byte* bytes = nullptr;
    Take take;
  };

  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  absl::Status Init();
  // Goes on in the other half, once it is free.
  absl::Status TurnRing();

  const cudaStream_t stream_;
  std::byte* ring_ = nullptr;  // [2, kHalfBytes] pinned
  int half_ = 0;
  int64_t used_ = 0;                          // of the half at work
  cudaEvent_t done_[2] = {nullptr, nullptr};  // the copies from each half

  std::byte* downloads_ = nullptr;  // [kHalfBytes] pinned
  int64_t downloaded_ = 0;
  std::vector<Pending> pending_;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_STAGING_H_
