#include "client/connect.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace winnow {
namespace {

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const TlsFlags& tls) {
  if (!tls.enabled) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  for (const auto& [path, text] :
       {std::pair(&tls.ca, &ssl.pem_root_certs), std::pair(&tls.cert, &ssl.pem_cert_chain),
        std::pair(&tls.key, &ssl.pem_private_key)}) {
    if (path->empty()) continue;
    auto read = ReadFile(*path);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  return grpc::SslCredentials(ssl);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ClientOptions& options) {
  return Connect(options.server, options.tls, grpc::ChannelArguments());
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const std::string& target,
                                                       const TlsFlags& tls,
                                                       grpc::ChannelArguments args) {
  const auto credentials = Credentials(tls);
  if (!credentials.ok()) return credentials.status();
  args.SetMaxReceiveMessageSize(-1);
  if (!tls.server_name.empty()) args.SetSslTargetNameOverride(tls.server_name);
  return grpc::CreateCustomChannel(target, *credentials, args);
}

absl::StatusOr<std::string> ReadAuthorization(const std::string& token_file) {
  auto token = ReadFile(token_file);
  if (!token.ok()) return token.status();
  absl::StripAsciiWhitespace(&*token);
  // gRPC would end the process over a line break in metadata.
  const bool printable = !token->empty() && std::all_of(token->begin(), token->end(),
                                                        [](char c) { return c > ' ' && c <= '~'; });
  if (!printable) {
    return absl::InvalidArgumentError(
        absl::StrCat(token_file, " must hold one token: printable ASCII without spaces"));
  }
  return absl::StrCat("Bearer ", *token);
}

absl::Status AddToken(const ClientOptions& options, grpc::ClientContext* context) {
  if (options.token_file.empty()) return absl::OkStatus();
  auto authorization = ReadAuthorization(options.token_file);
  if (!authorization.ok()) return authorization.status();
  context->AddMetadata("authorization", *std::move(authorization));
  return absl::OkStatus();
}

}  // namespace winnow
