// Backend: every op that a model's forward pass consists of, behind one virtual interface, and the
// memory that the ops work on. kernels/cpu/ implements it; CUDA follows behind the same interface.
//
// A backend owns its execution resources (threads, or a stream): there are no globals. Ops are
// issued in order by one thread and may run asynchronously; Synchronize() waits for all of them and
// reports what went wrong since the last one. An op that returns a non-OK status did nothing.
// REQUIRES of all ops: shapes agree (CHECKed), pointers are memory of this backend unless marked
// host.
#ifndef WINNOW_KERNELS_BACKEND_H_
#define WINNOW_KERNELS_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/dense.h"
#include "kernels/ops/gated_delta.h"
#include "kernels/ops/sample.h"

namespace winnow {

class Backend;

// Memory of a backend; freed with this object, which the backend must outlive. Movable.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(Backend* backend, std::byte* data, int64_t size_bytes)
      : backend_(backend), data_(data), size_bytes_(size_bytes) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  ~DeviceBuffer();

  std::byte* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

 private:
  Backend* backend_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;         // "cpu", "cuda"
  virtual std::string_view description() const = 0;  // e.g. "2 threads, AVX-512"

  // Zeroed memory, aligned to 256 bytes. RESOURCE_EXHAUSTED naming the size when there is not
  // enough.
  virtual absl::StatusOr<DeviceBuffer> Allocate(int64_t size_bytes) = 0;
  // In order with the ops; `host` may be reused when the call returns.
  virtual absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes) = 0;
  // Valid in `host` after Synchronize().
  virtual absl::Status Download(void* host, const std::byte* device, int64_t size_bytes) = 0;
  virtual absl::Status Zero(std::byte* device, int64_t size_bytes) = 0;
  // Both are this backend's memory and do not overlap.
  virtual absl::Status Copy(std::byte* to, const std::byte* from, int64_t size_bytes) = 0;
  virtual absl::Status Synchronize() = 0;

  virtual absl::Status Embed(const EmbedArgs& args) = 0;
  virtual absl::Status RmsNorm(const RmsNormArgs& args) = 0;
  virtual absl::Status Linear(const LinearArgs& args) = 0;
  virtual absl::Status RopeTable(const RopeTableArgs& args) = 0;
  virtual absl::Status Rope(const RopeArgs& args) = 0;
  virtual absl::Status SwiGlu(const SwiGluArgs& args) = 0;
  virtual absl::Status Silu(const SiluArgs& args) = 0;
  virtual absl::Status GatedRmsNorm(const GatedRmsNormArgs& args) = 0;
  virtual absl::Status GatherRows(const GatherRowsArgs& args) = 0;

  virtual absl::Status ShortConv(const ShortConvArgs& args) = 0;
  virtual absl::Status GatedDelta(const GatedDeltaArgs& args) = 0;

  virtual absl::Status RouterScores(const RouterScoresArgs& args) = 0;
  virtual absl::Status Departures(const DeparturesArgs& args) = 0;
  virtual absl::Status Attention(const AttentionArgs& args) = 0;
  virtual absl::Status WriteKv(const WriteKvArgs& args) = 0;

  virtual absl::Status Sample(const SampleArgs& args) = 0;

 private:
  friend class DeviceBuffer;
  virtual void Free(std::byte* device, int64_t size_bytes) = 0;
};

inline DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) backend_->Free(data_, size_bytes_);
}

}  // namespace winnow

#endif  // WINNOW_KERNELS_BACKEND_H_
