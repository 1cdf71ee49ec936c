#include "server/grpc_server.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "proto/winnow/v1/generation.grpc.pb.h"
#include "server/listening.h"

namespace winnow {
namespace {

// A peer that is gone without a word is noticed within their sum; its calls are cancelled then.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
// Clients may ping this often, also between calls.
constexpr int kMinPingIntervalMs = 5'000;
// A call's headers: a token, a deadline, what proxies and tracers add.
constexpr int kMaxMetadataBytes = 16 << 10;
// Connections that never finish their TLS handshake do not stay.
constexpr int kHandshakeTimeoutMs = 20'000;
// Responses are split at about 1 MiB, except that Tokenize answers up to 3 bytes for each byte of
// text.
constexpr int64_t kSendPerReceivedByte = 4;

// gRPC has them once per process, for all servers built later.
void EnablePlugins() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

void Configure(const GrpcServerOptions& options, grpc::ServerBuilder* builder) {
  constexpr int64_t kMaxInt = std::numeric_limits<int>::max();
  builder->SetMaxReceiveMessageSize(static_cast<int>(std::min(options.max_message_bytes, kMaxInt)));
  builder->SetMaxSendMessageSize(
      static_cast<int>(std::min(options.max_message_bytes * kSendPerReceivedByte, kMaxInt)));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kMinPingIntervalMs);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                              static_cast<int>(std::min(options.max_connection_streams, kMaxInt)));
  // Two servers on one port would each get half of the clients.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  if (options.max_connection_age.has_value()) {
    // The grace is gRPC's default: running calls may take as long as they need.
    builder->AddChannelArgument(
        GRPC_ARG_MAX_CONNECTION_AGE_MS,
        static_cast<int>(
            std::min(absl::ToInt64Milliseconds(*options.max_connection_age), kMaxInt)));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              grpc::Service* service) {
  EnablePlugins();
  grpc::ServerBuilder builder;
  Configure(options, &builder);
  const auto credentials =
      options.credentials != nullptr ? options.credentials : grpc::InsecureServerCredentials();
  std::vector<int> ports(options.listen.size(), 0);
  for (size_t i = 0; i < ports.size(); ++i) {
    builder.AddListeningPort(options.listen[i], credentials, &ports[i]);
  }
  builder.RegisterService(service);
  std::unique_ptr<GrpcServer> self(new GrpcServer());
  self->server_ = builder.BuildAndStart();
  for (size_t i = 0; i < ports.size(); ++i) {
    if (ports[i] == 0) return CannotListen(options.listen[i]);
    self->addresses_.push_back(WithPort(options.listen[i], ports[i]));
  }
  if (self->server_ == nullptr) return CannotListen(absl::StrJoin(options.listen, ","));
  const char* const name = v1::GenerationService::service_full_name();
  self->server_->GetHealthCheckService()->SetServingStatus(name, true);
  if (!options.health_listen.has_value()) return self;
  auto health_port = HealthPort::Start(*options.health_listen, name);
  if (!health_port.ok()) return health_port.status();
  self->health_port_ = *std::move(health_port);
  return self;
}

GrpcServer::~GrpcServer() {
  if (server_ != nullptr) Shutdown(absl::Now());
}

std::optional<std::string> GrpcServer::health_address() const {
  if (health_port_ == nullptr) return std::nullopt;
  return health_port_->address();
}

void GrpcServer::SetNotServing() {
  server_->GetHealthCheckService()->SetServingStatus(false);
  if (health_port_ != nullptr) health_port_->SetNotServing();
}

void GrpcServer::Shutdown(absl::Time deadline) {
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
  // The last: a probe that got no answer would take this process for dead.
  if (health_port_ != nullptr) health_port_->Shutdown(deadline);
}

}  // namespace winnow
