#include "client/load/load_target.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/connect.h"
#include "client/load/retry_count.h"
#include "client/load/server_addresses.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/channel_arguments.h"
#include "nlohmann/json.hpp"

namespace winnow::load {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(10);

// Each channel with connections of its own: by default gRPC would share one among all to an
// address.
grpc::ChannelArguments ChannelArgs(const LoadOptions& options) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, kTraceBytes);
  args.SetServiceConfigJSON(ServiceConfig(options.retry_policy));
  // A target of several numbers has no host: TLS and the server shall see the first one's.
  if (options.servers.size() > 1) args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, options.servers[0]);
  return args;
}

}  // namespace

std::string ServiceConfig(bool retry_policy) {
  nlohmann::json method = {{"name", {nlohmann::json::object()}}};
  if (retry_policy) {
    method["retryPolicy"] = {{"maxAttempts", 5},
                             {"initialBackoff", "0.1s"},
                             {"maxBackoff", "2s"},
                             {"backoffMultiplier", 2},
                             {"retryableStatusCodes", {"UNAVAILABLE"}}};
  }
  const nlohmann::json config = {
      {"loadBalancingConfig", {{{"round_robin", nlohmann::json::object()}}}},
      {"healthCheckConfig", {{"serviceName", ""}}},
      {"methodConfig", {method}}};
  return config.dump();
}

absl::StatusOr<std::unique_ptr<LoadTarget>> LoadTarget::Create(const LoadOptions& options) {
  std::unique_ptr<LoadTarget> target(new LoadTarget());
  if (!options.token_file.empty()) {
    auto authorization = ReadAuthorization(options.token_file);
    if (!authorization.ok()) return authorization.status();
    target->authorization_ = *std::move(authorization);
  }
  const auto name = TargetOf(options.servers);
  if (!name.ok()) return name.status();
  for (int i = 0; i < options.channels; ++i) {
    auto channel = Connect(*name, options.tls, ChannelArgs(options));
    if (!channel.ok()) return channel.status();
    target->stubs_.push_back(v1::GenerationService::NewStub(*channel));
  }
  return target;
}

absl::StatusOr<v1::GetModelInfoResponse> LoadTarget::GetModelInfo(const std::string& model) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(absl::ToChronoTime(absl::Now() + kConnectTimeout));
  if (!authorization_.empty()) context.AddMetadata("authorization", authorization_);
  v1::GetModelInfoRequest request;
  request.set_model(model);
  v1::GetModelInfoResponse response;
  const grpc::Status status = stubs_[0]->GetModelInfo(&context, request, &response);
  if (status.ok()) return response;
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::UnavailableError(absl::StrCat("no server answered within ",
                                               absl::FormatDuration(kConnectTimeout), ": ",
                                               status.error_message()));
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace winnow::load
