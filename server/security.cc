#include "server/security.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/tls_credentials.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

absl::Status Under(absl::string_view flag, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(flag, ": ", status.message()));
}

bool StaysOnThisMachine(const std::string& address) {
  for (const char* prefix : {"unix:", "127.", "[::1]:", "localhost:"}) {
    if (absl::StartsWith(address, prefix)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Security>> Security::Load(const Options& options, Clock clock) {
  std::unique_ptr<Security> security(new Security());
  if (absl::Status status = security->LoadTls(options); !status.ok()) {
    return Under("TLS", status);
  }
  if (absl::Status status = security->LoadAccess(options, std::move(clock)); !status.ok()) {
    return Under("--auth_file", status);
  }
  if (security->tls_files_ != nullptr || security->access_ != nullptr) {
    security->poller_.emplace(options.reload_interval, [s = security.get()] { s->Poll(); });
  }
  return security;
}

absl::Status Security::LoadTls(const Options& options) {
  if (options.tls_cert.empty()) return absl::OkStatus();
  auto files = TlsFiles::Load({options.tls_cert, options.tls_key, options.tls_client_ca});
  if (!files.ok()) return files.status();
  tls_files_ = *std::move(files);
  credentials_ = TlsServerCredentials(tls_files_.get());
  return absl::OkStatus();
}

absl::Status Security::LoadAccess(const Options& options, Clock clock) {
  if (options.auth_file.empty()) return absl::OkStatus();
  auto access = Access::Load(options.auth_file, std::move(clock));
  if (!access.ok()) return access.status();
  access_ = *std::move(access);
  const bool open = std::any_of(options.listen.begin(), options.listen.end(),
                                [](const auto& address) { return !StaysOnThisMachine(address); });
  if (open && tls_files_ == nullptr) {
    spdlog::warn("bearer tokens are taken without TLS: they can be read on the way");
  }
  return absl::OkStatus();
}

void Security::Poll() {
  if (tls_files_ != nullptr) tls_files_->Poll();
  if (access_ != nullptr) access_->Poll();
}

}  // namespace winnow
