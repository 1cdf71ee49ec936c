// CallCounts: the Generate calls that the engine never had: turned away, or ended by their client
// before they got there. The engine counts all others (scheduler/work_stats.h). Thread-safe.
#ifndef WINNOW_SERVER_CALL_COUNTS_H_
#define WINNOW_SERVER_CALL_COUNTS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace winnow {

enum class RejectReason : uint8_t {
  kQueueFull,
  kTenantLimit,
  kDraining,
  kInvalid,  // the request itself: what it asks for is wrong, unknown, or not served here
  kUnauthenticated,
  kPermissionDenied,
  kInternal,
};
inline constexpr size_t kNumRejectReasons = 7;

// As metrics call it: "queue_full".
const char* RejectReasonName(RejectReason reason);

class CallCounts {
 public:
  // A call that was not submitted to the engine, or refused by it, ends with this status.
  void CountUntaken(const absl::Status& status);

  uint64_t rejected(RejectReason reason) const {
    return rejected_[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
  }
  uint64_t cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  uint64_t late() const { return late_.load(std::memory_order_relaxed); }  // past their deadline

 private:
  std::array<std::atomic<uint64_t>, kNumRejectReasons> rejected_{};
  std::atomic<uint64_t> cancelled_{0}, late_{0};
};

}  // namespace winnow

#endif  // WINNOW_SERVER_CALL_COUNTS_H_
