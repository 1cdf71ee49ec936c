// HealthPort: a plaintext port with grpc.health.v1 and nothing else, for probes that know neither
// TLS nor tokens, such as those of Kubernetes.
#ifndef WINNOW_SERVER_HEALTH_PORT_H_
#define WINNOW_SERVER_HEALTH_PORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/server.h"

namespace winnow {

class HealthPort {
 public:
  // UNAVAILABLE if the address cannot be listened on. `service` is the name that has a health,
  // besides "". REQUIRES: gRPC's default health service is enabled.
  static absl::StatusOr<std::unique_ptr<HealthPort>> Start(const std::string& address,
                                                           const std::string& service);
  ~HealthPort();  // Shutdown at once

  // As given, with the real port.
  const std::string& address() const { return address_; }

  void SetNotServing();
  void Shutdown(absl::Time deadline);

 private:
  HealthPort() = default;

  grpc::CallbackGenericService everything_else_;  // answers UNIMPLEMENTED
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_HEALTH_PORT_H_
