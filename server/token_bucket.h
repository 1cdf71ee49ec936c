// TokenBucket: a limit of so many tokens per minute. It holds at most one minute's tokens, starts
// full, and refills evenly.
//
// The caller gives the time; a clock that is set back only stops the refill for that step. All in
// integers, so that nothing is lost to rounding. Not thread-safe.
#ifndef WINNOW_SERVER_TOKEN_BUCKET_H_
#define WINNOW_SERVER_TOKEN_BUCKET_H_

#include <cstdint>

#include "absl/time/time.h"

namespace winnow {

class TokenBucket {
 public:
  // REQUIRES: 1 <= tokens_per_minute <= 10^11.
  TokenBucket(int64_t tokens_per_minute, absl::Time now);

  // Keeps what is in it, up to the new capacity.
  void SetRate(int64_t tokens_per_minute, absl::Time now);

  int64_t capacity() const { return tokens_per_minute_; }

  // After which time, if nobody takes any, this many will be there, to the microsecond above; zero
  // if they are. REQUIRES: 0 <= tokens <= capacity().
  absl::Duration TimeUntil(int64_t tokens, absl::Time now);

  // REQUIRES: TimeUntil(tokens, now) is zero.
  void Take(int64_t tokens, absl::Time now);

  // What is above the capacity is lost. REQUIRES: tokens >= 0.
  void PutBack(int64_t tokens, absl::Time now);

 private:
  void Refill(absl::Time now);

  int64_t tokens_per_minute_;
  // In parts of a token, of which a microsecond brings tokens_per_minute_: a token has as many as a
  // minute has microseconds.
  int64_t level_;
  absl::Time last_refill_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_TOKEN_BUCKET_H_
