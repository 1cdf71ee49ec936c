#include "server/request_log.h"

#include <algorithm>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/finish_reason_name.h"
#include "server/log.h"
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

std::string Text(const RequestEnd& end) {
  std::string line =
      absl::StrCat("request ", end.request_id, ": ", absl::StatusCodeToString(end.status.code()));
  // Messages hold what clients sent, though never their prompts: no line breaks from there.
  if (!end.status.ok()) absl::StrAppend(&line, ": ", absl::CEscape(end.status.message()));
  if (end.tenant.has_value()) absl::StrAppend(&line, "; tenant ", *end.tenant);
  absl::StrAppend(&line, "; ", end.num_prompt_tokens, " prompt tokens");
  if (!end.output.has_value()) return line;
  const RequestEnd::Output& output = *end.output;
  absl::StrAppendFormat(
      &line, ", %d output tokens, %s, queued %.3f s, prompt %.3f s, output %.3f s",
      output.num_tokens, FinishReasonName(output.reason), absl::ToDoubleSeconds(output.queue_time),
      absl::ToDoubleSeconds(output.prefill_time), absl::ToDoubleSeconds(output.decode_time));
  return line;
}

nlohmann::ordered_json Fields(const RequestEnd& end) {
  nlohmann::ordered_json fields = {{"event", "request_end"},
                                   {"request_id", end.request_id},
                                   {"code", absl::StatusCodeToString(end.status.code())}};
  if (!end.status.ok()) fields["error"] = std::string(end.status.message());
  if (end.tenant.has_value()) fields["tenant"] = *end.tenant;
  fields["prompt_tokens"] = end.num_prompt_tokens;
  if (end.output.has_value()) {
    fields["output_tokens"] = end.output->num_tokens;
    fields["finish_reason"] = FinishReasonName(end.output->reason);
    fields["queue_seconds"] = absl::ToDoubleSeconds(end.output->queue_time);
    fields["prefill_seconds"] = absl::ToDoubleSeconds(end.output->prefill_time);
    fields["decode_seconds"] = absl::ToDoubleSeconds(end.output->decode_time);
  }
  fields["request_seconds"] = absl::ToDoubleSeconds(end.total_time);
  return fields;
}

}  // namespace

void LogRequestEnd(const RequestEnd& end) {
  LogEvent([&end] { return Text(end); }, [&end] { return Fields(end); });
}

void LogPrompt(absl::string_view request_id, const v1::GenerateRequest& request) {
  const std::string prompt =
      request.has_token_ids() ? Excerpt(request.token_ids()) : Excerpt(request.text());
  spdlog::info("request {}: prompt {}", std::string(request_id), prompt);
}

}  // namespace winnow
