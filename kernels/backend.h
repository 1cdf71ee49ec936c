// Backend: every op that a model's forward pass consists of, behind one virtual interface, and the
// memory that the ops work on. kernels/cpu/ and kernels/cuda/ implement it.
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
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/dtype.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/dense.h"
#include "kernels/ops/gated_delta.h"
#include "kernels/ops/sample.h"
#include "kernels/ops/state.h"

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

// The largest arguments that a model gives to the ops that need memory of their own; 0 for what it
// does not have.
struct OpLimits {
  int64_t max_tokens = 0;
  int64_t max_sequences = 0;
  int64_t max_logits_rows = 0;  // of one Sample
  int64_t vocab_size = 0;
  // Attention.
  int64_t num_query_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t router_outputs = 0;  // sum of the convolutions' `out`, of one head
  // Gated delta rule.
  int64_t num_key_heads = 0;
  int64_t num_value_heads = 0;
  int64_t key_dim = 0;
  int64_t value_dim = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;         // "cpu", "cuda"
  virtual std::string_view description() const = 0;  // e.g. "2 threads, AVX-512"

  // The type of activations, keys and values, but for those that an op asks in float32.
  virtual DType activation_dtype() const = 0;

  // Where weights lie. In place: ops read them in host memory, as the checkpoint's file has them.
  // Otherwise they are copied to this backend's memory, matrices as matrix_dtype().
  virtual bool reads_weights_in_place() const = 0;
  virtual DType matrix_dtype(DType stored) const = 0;
  // Upload of `count` floats that are `from` in host memory and become `to`.
  virtual absl::Status UploadFloats(std::byte* device, DType to, const void* host, DType from,
                                    int64_t count) = 0;

  // Bytes that may still be allocated; none: whatever the system gives.
  virtual std::optional<int64_t> available_bytes() const = 0;
  // Memory of the ops themselves, for arguments up to these limits: how much it is, and taking it.
  // REQUIRES: Reserve comes before the ops. Again for another model: what both need then.
  virtual int64_t ReservedBytes(const OpLimits& limits) const = 0;
  virtual absl::Status Reserve(const OpLimits& limits) = 0;

  // Zeroed memory, aligned to 256 bytes, all of it taken now. RESOURCE_EXHAUSTED naming the size
  // when there is not enough.
  virtual absl::StatusOr<DeviceBuffer> Allocate(int64_t size_bytes) = 0;
  // In order with the ops; `host` may be reused when the call returns.
  virtual absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes) = 0;
  // Valid in `host` after Synchronize(), or after WaitForFence() for a fence that follows.
  // REQUIRES: fewer than kMaxFences fences are open.
  virtual absl::Status Download(void* host, const std::byte* device, int64_t size_bytes) = 0;
  virtual absl::Status Zero(std::byte* device, int64_t size_bytes) = 0;
  // Both are this backend's memory and do not overlap.
  virtual absl::Status Copy(std::byte* to, const std::byte* from, int64_t size_bytes) = 0;
  virtual absl::Status Synchronize() = 0;

  // Whether ops run beside the caller, so that it pays to issue some while others run.
  virtual bool asynchronous() const = 0;
  // Marks the end of what was issued until now: opens a fence. REQUIRES: fewer than kMaxFences are
  // open.
  static constexpr int kMaxFences = 2;
  virtual absl::Status Fence() = 0;
  // As Synchronize, but waits only for what was issued before the oldest open fence, and closes it;
  // ops after it may still run. REQUIRES: one is open.
  virtual absl::Status WaitForFence() = 0;

  // Whether it likes outputs of LinearGroup side by side, in one array.
  virtual bool joins_products() const = 0;

  // Whether it replays ops: then steps of single tokens should come in few sizes.
  virtual bool replays() const = 0;
  // Does what `issue` does, which calls ops that read and write no host memory (not Upload,
  // Download, Zero, Sample), the same ones with the same arguments whenever `key` is the same. From
  // the second time on the backend may replay what it recorded, without calling `issue`.
  virtual absl::Status Replay(uint64_t key, const std::function<absl::Status()>& issue) = 0;
  // A key that was never given before; and the end of one: its arguments may be freed then.
  virtual uint64_t NewReplayKey() = 0;
  virtual void ForgetReplay(uint64_t key) = 0;

  virtual absl::Status Embed(const EmbedArgs& args) = 0;
  virtual absl::Status RmsNorm(const RmsNormArgs& args) = 0;
  virtual absl::Status Linear(const LinearArgs& args) = 0;
  virtual absl::Status LinearGroup(const LinearGroupArgs& args) = 0;
  virtual absl::Status RopeTable(const RopeTableArgs& args) = 0;
  virtual absl::Status Rope(const RopeArgs& args) = 0;
  virtual absl::Status SwiGlu(const SwiGluArgs& args) = 0;
  virtual absl::Status Silu(const SiluArgs& args) = 0;
  virtual absl::Status GatedRmsNorm(const GatedRmsNormArgs& args) = 0;
  virtual absl::Status GatherRows(const GatherRowsArgs& args) = 0;

  virtual absl::Status ShortConv(const ShortConvArgs& args) = 0;
  virtual absl::Status ShortConvGroup(const ShortConvGroupArgs& args) = 0;
  // INVALID_ARGUMENT if GatedDelta cannot keep states like that, saying what it can.
  virtual absl::Status CheckDeltaState(const DeltaStateFormat& format) const = 0;
  virtual absl::Status GatedDelta(const GatedDeltaArgs& args) = 0;
  virtual absl::Status AdvanceRing(const AdvanceRingArgs& args) = 0;

  virtual absl::Status RouterScores(const RouterScoresArgs& args) = 0;
  virtual absl::Status Departures(const DeparturesArgs& args) = 0;
  virtual absl::Status Attention(const AttentionArgs& args) = 0;
  virtual absl::Status WriteKv(const WriteKvArgs& args) = 0;

  virtual absl::Status Sample(const SampleArgs& args) = 0;

  virtual absl::Status EditTables(const EditTablesArgs& args) = 0;
  virtual absl::Status GatherCounts(const GatherCountsArgs& args) = 0;

 private:
  friend class DeviceBuffer;
  virtual void Free(std::byte* device, int64_t size_bytes) = 0;
};

inline DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) backend_->Free(data_, size_bytes_);
}

}  // namespace winnow

#endif  // WINNOW_KERNELS_BACKEND_H_
