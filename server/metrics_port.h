// MetricsPort: an HTTP port, plaintext and on all interfaces, that answers /metrics and nothing
// else.
//
// Two threads of its own serve it; a client that is slow to ask or to read has one of them for ten
// seconds at most.
#ifndef WINNOW_SERVER_METRICS_PORT_H_
#define WINNOW_SERVER_METRICS_PORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "prometheus/collectable.h"
#include "prometheus/exposer.h"

namespace winnow {

class MetricsPort {
 public:
  // Port 0: any free one. UNAVAILABLE if the port cannot be listened on.
  static absl::StatusOr<std::unique_ptr<MetricsPort>> Start(
      int port, std::shared_ptr<prometheus::Collectable> metrics);
  ~MetricsPort();  // within some milliseconds, but for a client that is being answered

  int port() const { return exposer_->GetListeningPorts().front(); }
  // "[::]:PORT", or "0.0.0.0:PORT" where there is no IPv6.
  std::string address() const;

 private:
  MetricsPort() = default;

  const char* any_host_ = "";
  std::shared_ptr<prometheus::Collectable> metrics_;
  std::unique_ptr<prometheus::Exposer> exposer_;  // last: its threads ask the above
};

}  // namespace winnow

#endif  // WINNOW_SERVER_METRICS_PORT_H_
