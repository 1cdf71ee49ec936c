#include "server/token_bucket.h"

#include <algorithm>

#include "kernels/check.h"

namespace winnow {
namespace {

constexpr int64_t kPartsPerToken = 60'000'000;
constexpr int64_t kMaxRate = 100'000'000'000;  // times kPartsPerToken is still below 2^63

}  // namespace

TokenBucket::TokenBucket(int64_t tokens_per_minute, absl::Time now)
    : tokens_per_minute_(tokens_per_minute),
      level_(tokens_per_minute * kPartsPerToken),
      last_refill_(now) {
  WINNOW_CHECK(tokens_per_minute >= 1 && tokens_per_minute <= kMaxRate) << tokens_per_minute;
}

void TokenBucket::SetRate(int64_t tokens_per_minute, absl::Time now) {
  WINNOW_CHECK(tokens_per_minute >= 1 && tokens_per_minute <= kMaxRate) << tokens_per_minute;
  Refill(now);
  tokens_per_minute_ = tokens_per_minute;
  level_ = std::min(level_, tokens_per_minute * kPartsPerToken);
}

absl::Duration TokenBucket::TimeUntil(int64_t tokens, absl::Time now) {
  WINNOW_CHECK(tokens >= 0 && tokens <= capacity()) << tokens << " of " << capacity();
  Refill(now);
  const int64_t missing = tokens * kPartsPerToken - level_;
  if (missing <= 0) return absl::ZeroDuration();
  return absl::Microseconds((missing - 1) / tokens_per_minute_ + 1);
}

void TokenBucket::Take(int64_t tokens, absl::Time now) {
  WINNOW_CHECK(TimeUntil(tokens, now) == absl::ZeroDuration());
  level_ -= tokens * kPartsPerToken;
}

void TokenBucket::PutBack(int64_t tokens, absl::Time now) {
  WINNOW_CHECK(tokens >= 0) << tokens;
  Refill(now);
  const int64_t room = (capacity() * kPartsPerToken - level_) / kPartsPerToken;
  level_ = tokens > room ? capacity() * kPartsPerToken : level_ + tokens * kPartsPerToken;
}

void TokenBucket::Refill(absl::Time now) {
  // Whole microseconds; the rest of one counts next time.
  const int64_t microseconds = absl::ToInt64Microseconds(now - last_refill_);
  if (microseconds <= 0) {
    last_refill_ = std::min(last_refill_, now);
    return;
  }
  last_refill_ += absl::Microseconds(microseconds);
  const int64_t full = capacity() * kPartsPerToken;
  // A minute fills it: the product stays in range.
  const int64_t gain = std::min(microseconds, kPartsPerToken) * tokens_per_minute_;
  level_ = gain > full - level_ ? full : level_ + gain;
}

}  // namespace winnow
