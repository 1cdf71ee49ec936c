// TLS for gRPC servers with certificates that may change while they run.
#ifndef WINNOW_SERVER_TLS_CREDENTIALS_H_
#define WINNOW_SERVER_TLS_CREDENTIALS_H_

#include <memory>

#include "grpcpp/security/server_credentials.h"
#include "server/tls_files.h"

namespace winnow {

// Each new connection is shaken hands with by what is current in `files` then; those that exist
// keep theirs. If `files` has a CA of clients, a client must show a certificate signed by it.
// `files` and what is returned must outlive every server that listens with it.
std::shared_ptr<grpc::ServerCredentials> TlsServerCredentials(const TlsFiles* files);

}  // namespace winnow

#endif  // WINNOW_SERVER_TLS_CREDENTIALS_H_
