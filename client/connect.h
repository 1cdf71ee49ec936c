// From the clients' flags to a connection, in plaintext or TLS, and a token for its calls.
#ifndef WINNOW_CLIENT_CONNECT_H_
#define WINNOW_CLIENT_CONNECT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client_options.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/channel_arguments.h"

namespace winnow {

// The error names a file that cannot be read.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ClientOptions& options);
// The same to any target that gRPC knows. `args` are extended, never overruled.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const std::string& target,
                                                       const TlsFlags& tls,
                                                       grpc::ChannelArguments args);

// What a call must carry as `authorization` to show the token in this file. The error never shows
// the token.
absl::StatusOr<std::string> ReadAuthorization(const std::string& token_file);

// Gives a call the token of --token_file, if there is one. The error never shows the token.
absl::Status AddToken(const ClientOptions& options, grpc::ClientContext* context);

// A whole file.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace winnow

#endif  // WINNOW_CLIENT_CONNECT_H_
