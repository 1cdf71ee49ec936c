#include "client/connection_flags.h"

#include "CLI/CLI.hpp"

namespace winnow {

void AddSecurityFlags(CLI::App& app, TlsFlags* tls, std::string* token_file) {
  constexpr char kGroup[] = "Security";
  auto* enabled = app.add_flag("--tls", tls->enabled, "Speak TLS")->group(kGroup);
  const auto add = [&](const std::string& flag, std::string* value, const char* type,
                       const char* help) {
    return app.add_option(flag, *value, help)->group(kGroup)->type_name(type);
  };
  add("--tls_ca", &tls->ca, "PATH", "CA certificates to trust, PEM; default: the system's")
      ->needs(enabled);
  auto* cert = add("--tls_cert", &tls->cert, "PATH", "Show this certificate, PEM")->needs(enabled);
  auto* key = add("--tls_key", &tls->key, "PATH", "Its key, PEM")->needs(enabled);
  cert->needs(key);
  key->needs(cert);
  add("--tls_server_name", &tls->server_name, "NAME",
      "Name in the server's certificate, if it is not the host")
      ->needs(enabled);
  add("--token_file", token_file, "PATH", "File with the bearer token to send");
}

}  // namespace winnow
