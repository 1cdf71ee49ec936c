// CallRecord: what one request was and what came of it. All figures are made from these.
#ifndef WINNOW_CLIENT_LOAD_CALL_RECORD_H_
#define WINNOW_CLIENT_LOAD_CALL_RECORD_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/load/request_source.h"

namespace winnow::load {

// Nanoseconds of the steady clock.
inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct CallRecord {
  int64_t number = 0;  // PlannedRequest's
  bool warmup = false;
  Behaviour behaviour = Behaviour::kRead;
  // Times are the steady clock's.
  int64_t scheduled_ns = 0;  // when it should have been sent: latencies count from here
  int64_t sent_ns = 0;
  std::optional<int64_t> first_token_ns;
  int64_t end_ns = 0;             // the status has come
  std::vector<uint32_t> gaps_us;  // between messages with tokens, in microseconds

  uint32_t prompt_tokens = 0;  // as the server counted them
  uint32_t output_tokens = 0;  // received
  int64_t messages = 0;        // received, of any kind
  std::string text;            // of the answer, if the run keeps it
  bool finished = false;       // the message that ends an answer has come
  bool cancelled = false;      // by this client, as planned
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string message;  // the status', with escapes for what is not printable ASCII

  bool completed() const { return code == absl::StatusCode::kOk && finished; }
  // Cancelled before its end, as planned.
  bool cancelled_as_planned() const { return cancelled && code == absl::StatusCode::kCancelled; }
  bool failed() const { return !completed() && !cancelled_as_planned(); }
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_CALL_RECORD_H_
