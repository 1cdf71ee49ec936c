// Security: what the flags ask for of TLS and of bearer tokens, and the thread that notices when
// their files change.
#ifndef WINNOW_SERVER_SECURITY_H_
#define WINNOW_SERVER_SECURITY_H_

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "grpcpp/security/server_credentials.h"
#include "server/access.h"
#include "server/options.h"
#include "server/poller.h"
#include "server/tenant.h"
#include "server/tls_files.h"

namespace winnow {

class Security {
 public:
  // The error names the flag and the file. Warns of tokens that would cross a network in the clear.
  // `clock` is the one of tenants' limits.
  static absl::StatusOr<std::unique_ptr<Security>> Load(const Options& options, Clock clock);

  // Null: plaintext. This must outlive the servers that listen with them.
  const std::shared_ptr<grpc::ServerCredentials>& credentials() const { return credentials_; }
  // Null: everybody may do everything.
  const Access* access() const { return access_.get(); }

 private:
  Security() = default;

  absl::Status LoadTls(const Options& options);
  absl::Status LoadAccess(const Options& options, Clock clock);
  void Poll();

  std::unique_ptr<TlsFiles> tls_files_;  // null without TLS
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<Access> access_;
  std::optional<Poller> poller_;  // the last: it uses the others; none without files
};

}  // namespace winnow

#endif  // WINNOW_SERVER_SECURITY_H_
