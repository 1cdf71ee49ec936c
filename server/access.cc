#include "server/access.h"

#include <openssl/crypto.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/text_file.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

constexpr size_t kMaxFileBytes = size_t{4} << 20;
constexpr absl::string_view kScheme = "Bearer ";  // in any case, says RFC 7235

}  // namespace

absl::StatusOr<std::unique_ptr<Access>> Access::Load(std::string path, Clock clock) {
  std::unique_ptr<Access> access(new Access(std::move(path), std::move(clock)));
  if (absl::Status status = access->Read(); !status.ok()) return status;
  return access;
}

void Access::Poll() {
  const absl::Status status = Read();
  if (status.ok() || last_warning_ == status.message()) return;
  last_warning_ = std::string(status.message());
  spdlog::warn("the tenants in use stay: {}", last_warning_);
}

absl::Status Access::Read() {
  const auto text = ReadTextFile(path_, kMaxFileBytes);
  if (!text.ok()) return text.status();
  last_warning_.clear();
  const TokenHash hash = HashToken(*text);
  const bool first = table_ == nullptr;
  if (!first && hash == last_read_) return absl::OkStatus();
  last_read_ = hash;
  const auto configs = ParseAuthFile(*text);
  if (!configs.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", configs.status().message()));
  }
  Use(*configs);
  spdlog::info("{} tenants {} from {}", configs->size(), first ? "loaded" : "reloaded", path_);
  return absl::OkStatus();
}

void Access::Use(const std::vector<TenantConfig>& configs) {
  auto table = std::make_shared<Table>();
  std::map<std::string, std::shared_ptr<Tenant>> tenants;
  for (const TenantConfig& config : configs) {
    std::shared_ptr<Tenant>& tenant = tenants[config.name];
    if (const auto known = tenants_.find(config.name); known != tenants_.end()) {
      tenant = known->second;
      tenant->SetLimits(config.limits);
    } else {
      tenant = std::make_shared<Tenant>(config.name, config.limits, clock_);
    }
    for (const TokenHash& token : config.tokens) table->push_back({token, tenant});
  }
  tenants_ = std::move(tenants);
  std::lock_guard<std::mutex> lock(mu_);
  table_ = std::move(table);
}

absl::StatusOr<std::shared_ptr<Tenant>> Access::Authorize(
    absl::Span<const absl::string_view> values, Rpc rpc) const {
  if (values.empty()) return TokenMissing();
  if (values.size() > 1 || !absl::StartsWithIgnoreCase(values[0], kScheme)) return TokenMalformed();
  std::shared_ptr<Tenant> tenant = Find(values[0].substr(kScheme.size()));
  if (tenant == nullptr) return TokenUnknown();
  if (absl::Status status = tenant->CheckRpc(rpc); !status.ok()) return status;
  return tenant;
}

std::shared_ptr<Tenant> Access::Find(absl::string_view token) const {
  std::shared_ptr<const Table> table;
  {
    std::lock_guard<std::mutex> lock(mu_);
    table = table_;
  }
  const TokenHash hash = HashToken(token);
  const Entry* found = nullptr;
  for (const Entry& entry : *table) {  // to the end, wherever it is found
    if (CRYPTO_memcmp(entry.token.data(), hash.data(), hash.size()) == 0) found = &entry;
  }
  return found == nullptr ? nullptr : found->tenant;
}

}  // namespace winnow
