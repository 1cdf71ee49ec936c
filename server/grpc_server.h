// GrpcServer: listening, health, reflection and connection settings around one service.
//
// Health is the standard grpc.health.v1 (Check and Watch) for "" and for the service by name; both
// say SERVING from Start on, until SetNotServing. A plaintext port with health alone may stand
// beside it. Thread-safe after Start.
#ifndef WINNOW_SERVER_GRPC_SERVER_H_
#define WINNOW_SERVER_GRPC_SERVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "server/health_port.h"

namespace winnow {

struct GrpcServerOptions {
  std::vector<std::string> listen;  // "host:port", "[::1]:port", "unix:path"; port 0: any free one
  int64_t max_message_bytes = int64_t{64} << 20;  // received
  int64_t max_connection_streams = 4096;          // more wait in the client
  std::optional<absl::Duration> max_connection_age;
  std::shared_ptr<grpc::ServerCredentials> credentials;  // null: plaintext
  std::optional<std::string> health_listen;
};

class GrpcServer {
 public:
  // UNAVAILABLE naming the address that cannot be listened on. `service`, and what the credentials
  // are made from, must outlive this.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           grpc::Service* service);
  ~GrpcServer();  // Shutdown at once

  // As given, with the real port.
  const std::vector<std::string>& addresses() const { return addresses_; }
  std::optional<std::string> health_address() const;

  // An in-process channel needs no address; for tests.
  grpc::Server* server() const { return server_.get(); }

  void SetNotServing();

  // Takes no more calls, waits for those that run, cancels what is left at the deadline, and
  // returns when all are done.
  void Shutdown(absl::Time deadline);

 private:
  GrpcServer() = default;

  std::unique_ptr<grpc::Server> server_;
  std::vector<std::string> addresses_;
  std::unique_ptr<HealthPort> health_port_;  // null: none was asked for
};

}  // namespace winnow

#endif  // WINNOW_SERVER_GRPC_SERVER_H_
