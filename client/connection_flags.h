// The flags that winnow-client and winnow-load share: how to connect safely, and as whom.
#ifndef WINNOW_CLIENT_CONNECTION_FLAGS_H_
#define WINNOW_CLIENT_CONNECTION_FLAGS_H_

#include <string>

namespace CLI {
class App;
}

namespace winnow {

// Paths; empty: not given.
struct TlsFlags {
  bool enabled = false;
  std::string ca;           // default: the system's
  std::string cert, key;    // the client's own; both or neither
  std::string server_name;  // that the server's certificate must have; default: the address' host
};

// Adds --tls and its companions and --token_file. What they point to must outlive the parsing.
void AddSecurityFlags(CLI::App& app, TlsFlags* tls, std::string* token_file);

}  // namespace winnow

#endif  // WINNOW_CLIENT_CONNECTION_FLAGS_H_
