#include "client/load/requests_file.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/load/length_distribution.h"
#include "nlohmann/json.hpp"

namespace winnow::load {
namespace {

using nlohmann::json;

absl::Status Wrong(absl::string_view field, const json& value, absl::string_view what) {
  const std::string shown = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return absl::InvalidArgumentError(
      absl::StrCat("\"", field, "\" is ", shown.substr(0, 80), "; it must be ", what));
}

bool IsIn(const json& value, int64_t min, int64_t max) {
  return value.is_number_integer() && value >= min && value <= max;
}

absl::Status ReadIds(const json& value, std::vector<uint32_t>* ids) {
  constexpr char kField[] = "prompt_token_ids", kWhat[] = "an array of token ids, at least one";
  if (!value.is_array() || value.empty()) return Wrong(kField, value, kWhat);
  for (const json& id : value) {
    if (!IsIn(id, 0, UINT32_MAX)) return Wrong(kField, id, kWhat);
    ids->push_back(id);
  }
  return absl::OkStatus();
}

absl::Status ReadField(const std::string& field, const json& value, FileRequest* request) {
  if (field == "prompt") {
    if (!value.is_string() || value == "") return Wrong(field, value, "a text, not empty");
    request->prompt = value.get<std::string>();
  } else if (field == "prompt_token_ids") {
    return ReadIds(value, &request->prompt_token_ids);
  } else if (field == "prompt_tokens" || field == "output_tokens") {
    if (!IsIn(value, 1, kMaxTokens)) {
      return Wrong(field, value, absl::StrCat("a whole number from 1 to ", kMaxTokens));
    }
    (field == "prompt_tokens" ? request->prompt_tokens : request->output_tokens) = value.get<int>();
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", field,
                     "\" is unknown; known are \"prompt\", \"prompt_token_ids\", "
                     "\"prompt_tokens\" and \"output_tokens\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<FileRequest> ParseRequest(absl::string_view line) {
  const json parsed = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InvalidArgumentError("no JSON object");
  FileRequest request;
  for (const auto& [field, value] : parsed.items()) {
    if (absl::Status status = ReadField(field, value, &request); !status.ok()) return status;
  }
  const int num_prompts = request.prompt.has_value() + !request.prompt_token_ids.empty() +
                          request.prompt_tokens.has_value();
  if (num_prompts > 1) {
    return absl::InvalidArgumentError(
        "several prompts; give one of \"prompt\", \"prompt_token_ids\" and \"prompt_tokens\"");
  }
  return request;
}

}  // namespace

absl::StatusOr<std::vector<FileRequest>> ParseRequests(absl::string_view jsonl) {
  std::vector<FileRequest> requests;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(jsonl, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    auto request = ParseRequest(line);
    if (!request.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": ", request.status().message()));
    }
    requests.push_back(*std::move(request));
  }
  if (requests.empty())
    return absl::InvalidArgumentError("no request; write one JSON object a line");
  return requests;
}

}  // namespace winnow::load
