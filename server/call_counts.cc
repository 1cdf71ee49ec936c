#include "server/call_counts.h"

#include "server/errors.h"

namespace winnow {
namespace {

// What a status that is neither CANCELLED nor DEADLINE_EXCEEDED means (errors.h has the table).
RejectReason ReasonOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return IsTenantLimit(status) ? RejectReason::kTenantLimit : RejectReason::kQueueFull;
    case absl::StatusCode::kUnavailable:
      return RejectReason::kDraining;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
      return RejectReason::kInvalid;
    case absl::StatusCode::kUnauthenticated:
      return RejectReason::kUnauthenticated;
    case absl::StatusCode::kPermissionDenied:
      return RejectReason::kPermissionDenied;
    default:
      return RejectReason::kInternal;
  }
}

}  // namespace

const char* RejectReasonName(RejectReason reason) {
  switch (reason) {
    case RejectReason::kQueueFull:
      return "queue_full";
    case RejectReason::kTenantLimit:
      return "tenant_limit";
    case RejectReason::kDraining:
      return "draining";
    case RejectReason::kInvalid:
      return "invalid";
    case RejectReason::kUnauthenticated:
      return "unauthenticated";
    case RejectReason::kPermissionDenied:
      return "permission_denied";
    case RejectReason::kInternal:
      return "internal";
  }
  return "unknown";
}

void CallCounts::CountUntaken(const absl::Status& status) {
  if (absl::IsCancelled(status)) {
    cancelled_.fetch_add(1, std::memory_order_relaxed);
  } else if (absl::IsDeadlineExceeded(status)) {
    late_.fetch_add(1, std::memory_order_relaxed);
  } else {
    rejected_[static_cast<size_t>(ReasonOf(status))].fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace winnow
