// The auth file: which tenants there are, how they prove it, and what each may do.
//
//   {"tenants": [
//     {"name": "search",                      // 1 to 64 of A-Z a-z 0-9 . _ -
//      "tokens": ["Zk3v0T9yqX7wLr2a"],        // 1 to 16; 16 to 512 printable ASCII, no spaces
//      "max_concurrent_requests": 8,          // Generate calls at the same time
//      "max_tokens_per_minute": 120000,       // prompt and output
//      "max_priority": 0,                     // highest GenerateRequest.priority
//      "rpcs": ["Generate", "GetModelInfo"]}  // default: all
//   ]}
//
// Names and tokens are unique. A limit that is absent does not exist. An unknown key, a key given
// twice and a value of the wrong kind are errors, which name the tenant, the key and the value, but
// never show what may be a token: no string as long as one is quoted, and nothing is kept of a
// token but its hash. Pure functions.
#ifndef WINNOW_SERVER_AUTH_FILE_H_
#define WINNOW_SERVER_AUTH_FILE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace winnow {

enum class Rpc : uint8_t { kGenerate, kTokenize, kDetokenize, kGetModelInfo, kGetLoad };
inline constexpr int kNumRpcs = 5;

// As in the service's definition.
absl::string_view RpcName(Rpc rpc);

struct TenantLimits {
  std::optional<int64_t> max_concurrent_requests;
  std::optional<int64_t> max_tokens_per_minute;
  std::optional<int32_t> max_priority;
  std::array<bool, kNumRpcs> rpcs = {true, true, true, true, true};  // by Rpc

  bool Allows(Rpc rpc) const { return rpcs[static_cast<size_t>(rpc)]; }
};

using TokenHash = std::array<uint8_t, 32>;  // SHA-256
TokenHash HashToken(absl::string_view token);

struct TenantConfig {
  std::string name;
  std::vector<TokenHash> tokens;
  TenantLimits limits;
};

// The file's content. INVALID_ARGUMENT, without the file's name.
absl::StatusOr<std::vector<TenantConfig>> ParseAuthFile(absl::string_view text);

}  // namespace winnow

#endif  // WINNOW_SERVER_AUTH_FILE_H_
