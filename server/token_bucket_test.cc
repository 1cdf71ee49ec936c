#include "server/token_bucket.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"

namespace winnow {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

TEST(TokenBucketTest, StartsFullAndRefillsEvenly) {
  TokenBucket bucket(600, kStart);  // ten per second
  EXPECT_EQ(bucket.TimeUntil(600, kStart), absl::ZeroDuration());
  bucket.Take(600, kStart);
  EXPECT_EQ(bucket.TimeUntil(0, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.TimeUntil(1, kStart), absl::Milliseconds(100));
  EXPECT_EQ(bucket.TimeUntil(600, kStart), absl::Minutes(1));
  const absl::Time later = kStart + absl::Milliseconds(250);
  EXPECT_EQ(bucket.TimeUntil(2, later), absl::ZeroDuration());
  EXPECT_EQ(bucket.TimeUntil(3, later), absl::Milliseconds(50));
}

TEST(TokenBucketTest, WhatItSaysWillBeThereIsThere) {
  TokenBucket bucket(7, kStart);
  bucket.Take(7, kStart);
  const absl::Duration wait = bucket.TimeUntil(3, kStart);
  EXPECT_GT(bucket.TimeUntil(3, kStart + wait - absl::Microseconds(1)), absl::ZeroDuration());
  EXPECT_EQ(bucket.TimeUntil(3, kStart + wait), absl::ZeroDuration());
}

TEST(TokenBucketTest, HoldsNoMoreThanAMinute) {
  TokenBucket bucket(100, kStart);
  const absl::Time later = kStart + absl::Hours(24 * 365 * 200);
  bucket.PutBack(INT64_MAX, later);
  bucket.Take(100, later);
  EXPECT_EQ(bucket.TimeUntil(100, later), absl::Minutes(1));
}

TEST(TokenBucketTest, ClockSetBackOnlyPauses) {
  TokenBucket bucket(60, kStart);
  bucket.Take(60, kStart);
  const absl::Time before = kStart - absl::Hours(1);
  EXPECT_EQ(bucket.TimeUntil(1, before), absl::Seconds(1));
  EXPECT_EQ(bucket.TimeUntil(1, before + absl::Seconds(1)), absl::ZeroDuration());
}

TEST(TokenBucketTest, NewRateKeepsWhatIsInIt) {
  TokenBucket bucket(100, kStart);
  bucket.Take(40, kStart);
  bucket.SetRate(1000, kStart);
  EXPECT_EQ(bucket.TimeUntil(60, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.TimeUntil(61, kStart), absl::Milliseconds(60));
  bucket.SetRate(10, kStart);
  EXPECT_EQ(bucket.TimeUntil(10, kStart), absl::ZeroDuration());
  bucket.Take(10, kStart);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), absl::Seconds(6));
}

TEST(TokenBucketTest, LargestRateDoesNotOverflow) {
  constexpr int64_t kRate = 100'000'000'000;
  TokenBucket bucket(kRate, kStart);
  bucket.Take(kRate, kStart);
  EXPECT_EQ(bucket.TimeUntil(kRate, kStart), absl::Minutes(1));
  EXPECT_EQ(bucket.TimeUntil(kRate, kStart + absl::Seconds(59)), absl::Seconds(1));
  bucket.PutBack(kRate, kStart + absl::Seconds(59));
  EXPECT_EQ(bucket.TimeUntil(kRate, kStart + absl::Seconds(59)), absl::ZeroDuration());
}

// The model counts in exact fractions of 128 bits, from the beginning each time.
TEST(TokenBucketTest, AgreesWithANaiveModel) {
  std::mt19937_64 random(1);
  for (const int64_t rate : {1, 7, 1000, 123'457}) {
    TokenBucket bucket(rate, kStart);
    __int128 parts = __int128{rate} * 60'000'000;  // of 60,000,000 per token
    absl::Time now = kStart;
    for (int i = 0; i < 2000; ++i) {
      const int64_t step = static_cast<int64_t>(random() % 10'000'000);
      now += absl::Microseconds(step);
      const __int128 full = __int128{rate} * 60'000'000;
      parts = std::min(full, parts + __int128{rate} * step);
      const auto tokens = static_cast<int64_t>(random() % (rate + 1));
      if (random() % 4 == 0) {
        bucket.PutBack(tokens, now);
        parts = std::min(full, parts + __int128{tokens} * 60'000'000);
        continue;
      }
      const bool there = parts >= __int128{tokens} * 60'000'000;
      ASSERT_EQ(bucket.TimeUntil(tokens, now) == absl::ZeroDuration(), there) << i;
      if (!there) continue;
      bucket.Take(tokens, now);
      parts -= __int128{tokens} * 60'000'000;
    }
  }
}

}  // namespace
}  // namespace winnow
