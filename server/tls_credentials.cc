#include "server/tls_credentials.h"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "grpc/grpc.h"
#include "grpc/grpc_security.h"
#include "kernels/check.h"
#include "server/listening.h"
#include "server/numeric_addresses.h"

namespace winnow {
namespace {

// What a listening port has taken: each has a handshaker of its own, to be renewed by itself.
struct Port {
  const TlsFiles* files = nullptr;
  std::atomic<uint64_t> version{0};
};

// gRPC asks before each handshake. It keeps what it has if this fails.
grpc_ssl_certificate_config_reload_status Fetch(void* user_data,
                                                grpc_ssl_server_certificate_config** config) {
  auto* port = static_cast<Port*>(user_data);
  const std::shared_ptr<const TlsPems> pems = port->files->current();
  if (port->version.exchange(pems->version) == pems->version) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const grpc_ssl_pem_key_cert_pair pair = {pems->key.c_str(), pems->cert.c_str()};
  // gRPC wants some CA even where no client is asked for a certificate, and does not use it then.
  const std::string& client_ca = port->files->wants_client_certs() ? pems->client_ca : pems->cert;
  *config = grpc_ssl_server_certificate_config_create(client_ca.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// gRPC's C++ wrapper offers no way to a fetcher, so this goes to the C interface below it.
class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(const TlsFiles* files) : files_(files) {}

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    WINNOW_CHECK(false) << "calls are authorized by the service";
  }

 private:
  // One socket per call of Add: gRPC 1.51 takes the connections of a socket one after the other,
  // but two sockets that share a handshaker may use it while it is being renewed, and crash
  // (grpc/grpc#36693). A name may stand for several.
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    int number = 0;
    for (const std::string& numeric : NumericAddresses(address)) {
      // Port 0 is the same free one for all.
      const int bound = Add(number == 0 ? numeric : WithPort(numeric, number), server);
      if (number == 0) number = bound;
    }
    return number;
  }

  int Add(const std::string& address, grpc_server* server) {
    auto port = std::make_unique<Port>();
    port->files = files_;
    grpc_server_credentials* credentials = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            files_->wants_client_certs()
                ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            Fetch, port.get()));
    const int number = grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    std::lock_guard<std::mutex> lock(mu_);
    ports_.push_back(std::move(port));
    return number;
  }

  const TlsFiles* const files_;
  std::mutex mu_;
  std::vector<std::unique_ptr<Port>> ports_;  // guarded by mu_
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> TlsServerCredentials(const TlsFiles* files) {
  return std::make_shared<Credentials>(files);
}

}  // namespace winnow
