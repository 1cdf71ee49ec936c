#include "server/request_log.h"

#include <algorithm>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

constexpr size_t kMaxBytes = 1024;
constexpr int kMaxIds = 128;  // of up to 7 digits and a space

// An escape is not cut through: the text is cut first, as often as it takes.
std::string Excerpt(absl::string_view text) {
  size_t kept = std::min(text.size(), kMaxBytes);
  std::string escaped = absl::CEscape(text.substr(0, kept));
  while (escaped.size() > kMaxBytes) {
    kept = kept * kMaxBytes / escaped.size();
    escaped = absl::CEscape(text.substr(0, kept));
  }
  return absl::StrCat("\"", escaped, "\"", kept < text.size() ? "..." : "");
}

std::string Excerpt(const v1::TokenIds& prompt) {
  const int kept = std::min(prompt.ids_size(), kMaxIds);
  const std::string ids = absl::StrJoin(prompt.ids().begin(), prompt.ids().begin() + kept, " ");
  return absl::StrCat("token ids ", ids, kept < prompt.ids_size() ? "..." : "");
}

}  // namespace

void LogPrompt(absl::string_view request_id, const v1::GenerateRequest& request) {
  const std::string prompt =
      request.has_token_ids() ? Excerpt(request.token_ids()) : Excerpt(request.text());
  spdlog::info("request {}: prompt {}", std::string(request_id), prompt);
}

}  // namespace winnow
