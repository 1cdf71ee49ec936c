// TlsFiles: the server's certificate, its key and the CA of its clients, as they stand in files,
// read again while the server runs.
//
//   auto files = TlsFiles::Load({.cert = "tls.crt", .key = "tls.key"});
//   ...
//   (*files)->Poll();                                  // now and then
//   std::shared_ptr<const TlsPems> pems = (*files)->current();
//
// What is current has been checked: everything parses, and the key belongs to the certificate. A
// new state of the files that does not pass, such as a pair of which one half is written, changes
// nothing and is logged, once for each state. (gRPC's own FileWatcherCertificateProvider checks no
// pair in 1.51: a half-written one ends the service for new connections.) Files are told apart by
// their bytes, so that neither symbolic links nor coarse or preserved times hide a change.
//
// current may be called from any thread, Poll from one at a time.
#ifndef WINNOW_SERVER_TLS_FILES_H_
#define WINNOW_SERVER_TLS_FILES_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace winnow {

struct TlsPaths {
  std::string cert;       // PEM: the server's certificate, then intermediate ones
  std::string key;        // PEM, not encrypted
  std::string client_ca;  // PEM: who signs clients' certificates; empty: clients need none
};

struct TlsPems {
  std::string cert, key, client_ca;
  uint64_t version = 0;  // 1, 2, ... as they change

  bool SameFiles(const TlsPems& other) const {
    return cert == other.cert && key == other.key && client_ca == other.client_ca;
  }
};

class TlsFiles {
 public:
  // The error names the file at fault: not readable, no PEM of the right kind, an encrypted key, a
  // key of another certificate, or one too short.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Load(TlsPaths paths);

  void Poll();

  std::shared_ptr<const TlsPems> current() const;
  bool wants_client_certs() const { return !paths_.client_ca.empty(); }

 private:
  explicit TlsFiles(TlsPaths paths) : paths_(std::move(paths)) {}

  void Accept(TlsPems pems);
  void Refuse(const absl::Status& status);

  const TlsPaths paths_;

  // Poll's.
  TlsPems last_read_;
  std::string last_warning_;

  mutable std::mutex mu_;
  std::shared_ptr<const TlsPems> current_;  // guarded by mu_
};

}  // namespace winnow

#endif  // WINNOW_SERVER_TLS_FILES_H_
