#include "server/grpc_status.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "server/errors.h"

namespace winnow {

grpc::Status ToGrpcStatus(const absl::Status& status, grpc::CallbackServerContext* context) {
  if (status.ok()) return grpc::Status::OK;
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    const std::optional<absl::Duration> delay = RetryDelay(status);
    context->AddTrailingMetadata(
        "grpc-retry-pushback-ms",
        delay.has_value() ? absl::StrCat(absl::ToInt64Milliseconds(*delay)) : "-1");
  }
  bool has_details = false;
  status.ForEachPayload(
      [&has_details](absl::string_view, const absl::Cord&) { has_details = true; });
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      has_details ? SerializedRpcStatus(status) : std::string());
}

}  // namespace winnow
