// What the log says of requests: a line for each one's end, and what --log_requests adds.
// Thread-safe.
#ifndef WINNOW_SERVER_REQUEST_LOG_H_
#define WINNOW_SERVER_REQUEST_LOG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/winnow/v1/generation.pb.h"
#include "scheduler/request.h"

namespace winnow {

// Never prompts or answers.
struct RequestEnd {
  // Of a request whose every choice the engine has finished.
  struct Output {
    uint64_t num_tokens = 0;  // of all choices
    // The first choice's.
    FinishReason reason = FinishReason::kStop;
    absl::Duration queue_time = {}, prefill_time = {}, decode_time = {};
  };

  std::string request_id;
  absl::Status status;  // as the client gets it
  std::optional<std::string> tenant;
  uint32_t num_prompt_tokens = 0;  // 0: it did not get so far
  absl::Duration total_time = {};  // from arrival
  std::optional<Output> output;
};

// One line. What clients chose (ids, echoes in messages) breaks no line.
void LogRequestEnd(const RequestEnd& end);

// The prompt, text or token ids, as one line of at most some 1 KiB.
void LogPrompt(absl::string_view request_id, const v1::GenerateRequest& request);

}  // namespace winnow

#endif  // WINNOW_SERVER_REQUEST_LOG_H_
