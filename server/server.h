// Server: a served model behind its sockets: engine, service, health, and the orderly end.
//
//   auto server = Server::Start(options, loaded->served, on_fatal);
//   ...
//   (*server)->AnnounceShutdown();                    // NOT_SERVING; calls are still taken
//   (*server)->Drain(absl::Now() + timeout);          // new and queued calls are refused, running
//   ones finish
//   (*server)->Close(absl::Now() + grace);            // sockets close once clients have what is
//   theirs
//
// Thread-safe after Start.
#ifndef WINNOW_SERVER_SERVER_H_
#define WINNOW_SERVER_SERVER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "scheduler/engine.h"
#include "server/generation_service.h"
#include "server/grpc_server.h"
#include "server/metrics.h"
#include "server/metrics_port.h"
#include "server/options.h"
#include "server/security.h"
#include "server/served_model.h"
#include "server/service_context.h"
#include "server/tenant.h"
#include "server/work_queue.h"

namespace winnow {

class Server {
 public:
  // Listens and serves from here on. `on_fatal` is called, on the engine's thread, when the device
  // is lost: by then every request is answered, and no other will be served. What `served` refers
  // to must outlive this. `clock` is the one of tenants' limits. UNAVAILABLE: an address is
  // taken; other errors name a file of the security flags.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const Options& options, const ServedModel& served,
      std::function<void(const absl::Status&)> on_fatal, Clock clock = absl::Now);
  ~Server();  // cancels what still runs
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::vector<std::string>& addresses() const { return grpc_->addresses(); }
  std::optional<std::string> health_address() const { return grpc_->health_address(); }
  std::optional<std::string> metrics_address() const;  // none: no port was asked for
  EngineStats Stats() const { return engine_->Stats(); }
  // What /metrics says; belongs to this server.
  std::shared_ptr<Metrics> metrics() const { return metrics_; }

  void AnnounceShutdown();
  // May be called again, from another thread, with an earlier deadline.
  void Drain(absl::Time deadline);
  // Waits until every stream is written and ended, and cancels what is left at the deadline.
  // REQUIRES: Drain has returned, or the device is lost.
  void Close(absl::Time deadline);

 private:
  Server(const Options& options, const ServedModel& served,
         std::function<void(const absl::Status&)> on_fatal);

  // Later ones use earlier ones.
  std::unique_ptr<Security> security_;
  WorkQueue text_queue_;
  WorkQueue delivery_queue_;
  std::unique_ptr<Engine> engine_;
  ServiceContext context_;
  GenerationService service_;
  std::unique_ptr<GrpcServer> grpc_;
  std::shared_ptr<Metrics> metrics_;
  std::unique_ptr<MetricsPort> metrics_port_;  // null: none was asked for
};

}  // namespace winnow

#endif  // WINNOW_SERVER_SERVER_H_
