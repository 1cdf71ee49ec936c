// From absl::Status with payloads (server/errors.h) to what gRPC sends. Pure functions.
#ifndef WINNOW_SERVER_GRPC_STATUS_H_
#define WINNOW_SERVER_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace grpc {
class CallbackServerContext;
}

namespace winnow {

// Code, message, and the payloads as google.rpc.Status in grpc-status-details-bin. For
// RESOURCE_EXHAUSTED it also sets the trailer grpc-retry-pushback-ms, which gRPC clients with a
// retry policy obey: the RetryInfo's delay, or "do not retry". To be passed to Finish right away.
grpc::Status ToGrpcStatus(const absl::Status& status, grpc::CallbackServerContext* context);

}  // namespace winnow

#endif  // WINNOW_SERVER_GRPC_STATUS_H_
