#include "server/health_port.h"

#include <vector>

#include "absl/time/clock.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "server/listening.h"

namespace winnow {
namespace {

// Probes ask little.
constexpr int kMaxMessageBytes = 4096;
constexpr int kMaxMetadataBytes = 8192;
constexpr int kMaxStreams = 100;

// Keeps the plugins of the whole process, such as reflection, away from one server.
class NoPlugins final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->clear();
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<HealthPort>> HealthPort::Start(const std::string& address,
                                                              const std::string& service) {
  std::unique_ptr<HealthPort> self(new HealthPort());
  grpc::ServerBuilder builder;
  builder.SetOption(std::make_unique<NoPlugins>());
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterCallbackGenericService(&self->everything_else_);
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  self->server_ = builder.BuildAndStart();
  if (self->server_ == nullptr || port == 0) return CannotListen(address);
  self->address_ = WithPort(address, port);
  self->server_->GetHealthCheckService()->SetServingStatus(service, true);
  return self;
}

HealthPort::~HealthPort() {
  if (server_ != nullptr) Shutdown(absl::Now());
}

void HealthPort::SetNotServing() { server_->GetHealthCheckService()->SetServingStatus(false); }

void HealthPort::Shutdown(absl::Time deadline) {
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
}

}  // namespace winnow
