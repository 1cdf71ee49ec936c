#include "server/auth_file.h"

#include <openssl/sha.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/json.h"

namespace winnow {
namespace {

using Json = nlohmann::json;

constexpr std::array<absl::string_view, kNumRpcs> kRpcNames = {"Generate", "Tokenize", "Detokenize",
                                                               "GetModelInfo", "GetLoad"};
constexpr size_t kMaxTenants = 10'000;
constexpr size_t kMaxNameChars = 64;
constexpr size_t kMaxTokens = 16;
constexpr size_t kMinTokenChars = 16;
constexpr size_t kMaxTokenChars = 512;
constexpr int64_t kMaxConcurrent = 1'000'000;
constexpr int64_t kMaxPerMinute = 100'000'000'000;  // server/token_bucket.h counts no further

template <typename... Args>
absl::Status Wrong(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

// A value as it may stand in an error: never one that could be a token.
std::string Shown(const Json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  if (!value.is_string()) return JsonExcerpt(value);
  const size_t size = value.get_ref<const std::string&>().size();
  return size < kMinTokenChars ? JsonExcerpt(value) : absl::StrCat("a string of ", size, " bytes");
}

// What is wrong with a text that ParseStrictJson refuses. Its own message quotes what it read.
absl::Status NotStrictJson(absl::string_view text) {
  if (text.find('\0') != absl::string_view::npos) return Wrong("is not valid JSON: it has a NUL");
  try {
    [[maybe_unused]] const Json json = Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& e) {
    const absl::string_view before = text.substr(0, e.byte == 0 ? 0 : e.byte - 1);
    const size_t last_break = before.rfind('\n');
    const size_t column =
        last_break == absl::string_view::npos ? before.size() + 1 : before.size() - last_break;
    return Wrong("is not valid JSON at line ", std::count(before.begin(), before.end(), '\n') + 1,
                 ", column ", column);
  } catch (const Json::exception&) {
    return Wrong("is not valid JSON: it has a number that is too large");
  }
  return Wrong("has a key twice in one object, or nests deeper than ", kMaxJsonDepth, " levels");
}

// One object's fields, of which all must be asked for. The first error stays.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail(where_, " is ", Shown(object), "; it must be an object");
  }

  const Json* Find(const std::string& key) {
    asked_.insert(key);
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }

  std::optional<int64_t> Integer(const std::string& key, int64_t min, int64_t max) {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    // get<int64_t> would wrap what is above its range around.
    const bool in_range =
        value->is_number_integer() &&
        (!value->is_number_unsigned() || value->get<uint64_t>() <= static_cast<uint64_t>(max)) &&
        value->get<int64_t>() >= min && value->get<int64_t>() <= max;
    if (in_range) return value->get<int64_t>();
    Fail(where_, ": ", key, " is ", Shown(*value), "; it must be a whole number from ", min, " to ",
         max);
    return std::nullopt;
  }

  // A list of between 1 and max_size strings; null and an error otherwise.
  const Json* Strings(const std::string& key, size_t max_size) {
    const Json* value = Find(key);
    const bool fits = value != nullptr && value->is_array() && !value->empty() &&
                      value->size() <= max_size &&
                      std::all_of(value->begin(), value->end(),
                                  [](const Json& item) { return item.is_string(); });
    if (fits) return value;
    Fail(where_, ": ", key, " must be a list of 1 to ", max_size, " strings");
    return nullptr;
  }

  template <typename... Args>
  void Fail(const Args&... args) {
    if (status_.ok()) status_ = Wrong(args...);
  }

  absl::Status Finish() {
    if (!object_.is_object()) return status_;
    for (const auto& [key, value] : object_.items()) {
      if (!asked_.contains(key)) Fail(where_, " has an unknown key: ", Shown(key));
    }
    return status_;
  }

  const std::string& where() const { return where_; }

 private:
  const Json& object_;
  const std::string where_;
  std::set<std::string> asked_;
  absl::Status status_;
};

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxNameChars &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                  c == '-';
         });
}

std::vector<TokenHash> ParseTokens(Fields& fields) {
  std::vector<TokenHash> hashes;
  const Json* tokens = fields.Strings("tokens", kMaxTokens);
  if (tokens == nullptr) return hashes;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const auto& token = (*tokens)[i].get_ref<const std::string&>();
    const bool printable =
        std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
    if (!printable || token.size() < kMinTokenChars || token.size() > kMaxTokenChars) {
      fields.Fail(fields.where(), ": tokens[", i, "] has ", token.size(), " bytes",
                  printable ? "" : ", some not allowed", "; a token is ", kMinTokenChars, " to ",
                  kMaxTokenChars, " printable ASCII characters without spaces");
    }
    hashes.push_back(HashToken(token));
  }
  return hashes;
}

void ParseRpcs(Fields& fields, TenantLimits* limits) {
  if (fields.Find("rpcs") == nullptr) return;
  limits->rpcs.fill(false);
  const Json* names = fields.Strings("rpcs", kNumRpcs);
  if (names == nullptr) return;
  for (const Json& name : *names) {
    const auto found =
        std::find(kRpcNames.begin(), kRpcNames.end(), name.get_ref<const std::string&>());
    if (found == kRpcNames.end()) {
      fields.Fail(fields.where(), ": rpcs has ", Shown(name), "; there are ",
                  absl::StrJoin(kRpcNames, ", "));
      return;
    }
    bool& allowed = limits->rpcs[static_cast<size_t>(found - kRpcNames.begin())];
    if (allowed) fields.Fail(fields.where(), ": rpcs has ", Shown(name), " twice");
    allowed = true;
  }
}

absl::StatusOr<TenantConfig> ParseTenant(const Json& json, size_t index) {
  TenantConfig tenant;
  std::string where = absl::StrCat("tenants[", index, "]");
  const Json* name = json.is_object() && json.contains("name") ? &json["name"] : nullptr;
  const bool named =
      name != nullptr && name->is_string() && IsName(name->get_ref<const std::string&>());
  if (named) tenant.name = name->get<std::string>();
  if (named) absl::StrAppend(&where, " (", tenant.name, ")");
  Fields fields(json, std::move(where));
  fields.Find("name");
  if (!named) {
    fields.Fail(fields.where(), ": name ", name == nullptr ? "is missing" : "is " + Shown(*name),
                "; it must be 1 to ", kMaxNameChars, " letters, digits, '.', '_' or '-'");
  }
  tenant.tokens = ParseTokens(fields);
  TenantLimits& limits = tenant.limits;
  limits.max_concurrent_requests = fields.Integer("max_concurrent_requests", 1, kMaxConcurrent);
  limits.max_tokens_per_minute = fields.Integer("max_tokens_per_minute", 1, kMaxPerMinute);
  using Priorities = std::numeric_limits<int32_t>;
  const auto priority = fields.Integer("max_priority", Priorities::min(), Priorities::max());
  if (priority.has_value()) limits.max_priority = static_cast<int32_t>(*priority);
  ParseRpcs(fields, &limits);
  if (absl::Status status = fields.Finish(); !status.ok()) return status;
  return tenant;
}

// Neither a name nor a token leads to two tenants, or twice to one.
absl::Status CheckUnique(const std::vector<TenantConfig>& tenants) {
  std::set<std::string> names;
  std::map<TokenHash, std::string> owners;
  for (const TenantConfig& tenant : tenants) {
    if (!names.insert(tenant.name).second) return Wrong("two tenants are named ", tenant.name);
    for (const TokenHash& token : tenant.tokens) {
      const auto [owner, inserted] = owners.emplace(token, tenant.name);
      if (!inserted) {
        return Wrong("tenants ", owner->second, " and ", tenant.name, " have a token in common");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view RpcName(Rpc rpc) { return kRpcNames[static_cast<size_t>(rpc)]; }

TokenHash HashToken(absl::string_view token) {
  TokenHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  return hash;
}

absl::StatusOr<std::vector<TenantConfig>> ParseAuthFile(absl::string_view text) {
  const auto json = ParseStrictJson(std::string_view(text.data(), text.size()));
  if (!json.ok()) return NotStrictJson(text);
  Fields fields(*json, "the file");
  const Json* list = fields.Find("tenants");
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > kMaxTenants) {
    fields.Fail("tenants must be a list of 1 to ", kMaxTenants, " tenants");
  }
  if (absl::Status status = fields.Finish(); !status.ok()) return status;
  std::vector<TenantConfig> tenants;
  for (size_t i = 0; i < list->size(); ++i) {
    auto tenant = ParseTenant((*list)[i], i);
    if (!tenant.ok()) return tenant.status();
    tenants.push_back(*std::move(tenant));
  }
  if (absl::Status status = CheckUnique(tenants); !status.ok()) return status;
  return tenants;
}

}  // namespace winnow
