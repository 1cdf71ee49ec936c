// Requests from a file: JSONL, one request a line.
#ifndef WINNOW_CLIENT_LOAD_REQUESTS_FILE_H_
#define WINNOW_CLIENT_LOAD_REQUESTS_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace winnow::load {

// What a line says; the rest is drawn. Of the prompt at most one of the three is given.
struct FileRequest {
  std::optional<std::string> prompt;
  std::vector<uint32_t> prompt_token_ids;  // empty: not given
  std::optional<int> prompt_tokens;        // of random tokens
  std::optional<int> output_tokens;
};

// At least one request; empty lines are skipped. Errors name the line, the field, and what it may
// be; fields with other names are refused.
absl::StatusOr<std::vector<FileRequest>> ParseRequests(absl::string_view jsonl);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_REQUESTS_FILE_H_
