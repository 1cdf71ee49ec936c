// What --log_requests adds to the log.
#ifndef WINNOW_SERVER_REQUEST_LOG_H_
#define WINNOW_SERVER_REQUEST_LOG_H_

#include "absl/strings/string_view.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow {

// The prompt, text or token ids, as one line of at most some 1 KiB. Thread-safe.
void LogPrompt(absl::string_view request_id, const v1::GenerateRequest& request);

}  // namespace winnow

#endif  // WINNOW_SERVER_REQUEST_LOG_H_
