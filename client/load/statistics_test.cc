#include "client/load/statistics.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr int64_t kMs = 1'000'000;

// Sent when due at `at_ms`, first token after `ttft_ms`, then `tokens` - 1 more, `gap_ms` apart;
// the end comes with the last token.
CallRecord Completed(int64_t at_ms, int64_t ttft_ms, int tokens, int64_t gap_ms) {
  CallRecord record;
  record.scheduled_ns = record.sent_ns = at_ms * kMs;
  record.first_token_ns = (at_ms + ttft_ms) * kMs;
  record.gaps_us.assign(tokens - 1, static_cast<uint32_t>(gap_ms * 1000));
  record.end_ns = (at_ms + ttft_ms + (tokens - 1) * gap_ms) * kMs;
  record.prompt_tokens = 10;
  record.output_tokens = tokens;
  record.messages = tokens + 2;
  record.finished = true;
  record.code = absl::StatusCode::kOk;
  return record;
}

TEST(PercentileTest, InterpolatesAsNumpyDoes) {
  EXPECT_EQ(Percentile({7}, 99), 7);
  const std::vector<double> values = {1, 2, 4, 8};
  EXPECT_EQ(Percentile(values, 0), 1);
  EXPECT_EQ(Percentile(values, 50), 3);
  EXPECT_DOUBLE_EQ(Percentile(values, 90), 6.8);
  EXPECT_EQ(Percentile(values, 100), 8);
}

TEST(SummarizeTest, OfSomeValuesInAnyOrder) {
  const Distribution summary = Summarize({8, 1, 4, 2});
  EXPECT_EQ(summary.count, 4);
  EXPECT_EQ(summary.mean, 3.75);
  EXPECT_EQ(summary.median, 3);
  EXPECT_DOUBLE_EQ(summary.std, std::sqrt((7.5625 + 3.0625 + 0.0625 + 18.0625) / 4));
  EXPECT_DOUBLE_EQ(summary.p95, 7.4);
  EXPECT_EQ(summary.max, 8);
}

TEST(SummarizeTest, OfNothingIsZero) {
  const Distribution summary = Summarize({});
  EXPECT_EQ(summary.count, 0);
  EXPECT_EQ(summary.p99, 0);
}

TEST(StatisticsTest, TimesOfOneRequestCountFromItsSchedule) {
  CallRecord record = Completed(100, 50, 5, 10);
  record.sent_ns += 30 * kMs;  // the client was late; that is no excuse
  EXPECT_DOUBLE_EQ(*TtftMs(record), 50);
  EXPECT_DOUBLE_EQ(EndToEndMs(record), 90);
  EXPECT_DOUBLE_EQ(*TpotMs(record), 10);
  EXPECT_FALSE(TpotMs(Completed(0, 5, 1, 0)).has_value()) << "one token has no time per token";
}

TEST(StatisticsTest, GoodIsWhatKeepsEveryObjective) {
  const CallRecord record = Completed(0, 50, 5, 10);
  EXPECT_TRUE(IsGood(record, {.ttft_ms = 50, .tpot_ms = 10, .e2el_ms = 90}));
  EXPECT_FALSE(IsGood(record, {.ttft_ms = 49.9, .tpot_ms = {}, .e2el_ms = {}}));
  EXPECT_FALSE(IsGood(record, {.ttft_ms = {}, .tpot_ms = 9.9, .e2el_ms = {}}));
  EXPECT_FALSE(IsGood(record, {.ttft_ms = {}, .tpot_ms = {}, .e2el_ms = 89.9}));
  CallRecord failed = record;
  failed.code = absl::StatusCode::kUnavailable;
  EXPECT_FALSE(IsGood(failed, {.ttft_ms = 50, .tpot_ms = {}, .e2el_ms = {}}));
}

class StageTest : public ::testing::Test {
 protected:
  StageTest() {
    records_.push_back(Completed(0, 5, 2, 5));  // warm-up
    records_.back().warmup = true;
    records_.push_back(Completed(1000, 100, 11, 20));  // ends at 1300
    records_.push_back(Completed(1100, 200, 11, 70));  // ends at 2000
    records_.push_back(Completed(1200, 10, 5, 1));     // cancelled, ends at 1214
    records_.back().behaviour = Behaviour::kCancel;
    records_.back().cancelled = true;
    records_.back().finished = false;
    records_.back().code = absl::StatusCode::kCancelled;
    records_.push_back(Completed(1250, 500, 3, 125));  // read slowly, ends at 2000
    records_.back().behaviour = Behaviour::kReadSlowly;
    records_.push_back(CallRecord());
    records_.back().scheduled_ns = 1300 * kMs;
    records_.back().sent_ns = 1304 * kMs;
    records_.back().end_ns = 1310 * kMs;
    records_.back().code = absl::StatusCode::kResourceExhausted;
    records_.back().message = "full";
  }
  std::vector<CallRecord> records_;
};

TEST_F(StageTest, CountsAndRates) {
  const StageSummary summary = SummarizeStage("rate 5", records_, {}, {}, 0.0012);
  EXPECT_EQ(summary.level, "rate 5");
  EXPECT_DOUBLE_EQ(summary.duration, 1);
  EXPECT_EQ(summary.completed, 3);
  EXPECT_EQ(summary.cancelled, 1);
  EXPECT_EQ(summary.failed, 1);
  EXPECT_EQ(summary.warmup_requests, 1);
  EXPECT_EQ(summary.total_input_tokens, 40);
  EXPECT_EQ(summary.total_output_tokens, 30);
  EXPECT_EQ(summary.received_tokens, 32);
  EXPECT_EQ(summary.received_messages, 42);
  EXPECT_DOUBLE_EQ(summary.request_throughput, 3);
  EXPECT_DOUBLE_EQ(summary.output_throughput, 30);
  EXPECT_DOUBLE_EQ(summary.total_token_throughput, 70);
  EXPECT_NEAR(summary.cpu_us_per_message, 0.0012e6 / 42, 1e-9);
  EXPECT_EQ(summary.max_concurrent_requests, 3);
  EXPECT_THAT(summary.errors, ElementsAre(Pair("RESOURCE_EXHAUSTED: full", 1)));
  EXPECT_FALSE(summary.request_goodput.has_value());
}

TEST_F(StageTest, LatenciesAreThoseOfRequestsReadAtFullSpeed) {
  const StageSummary summary = SummarizeStage("", records_, {}, {}, 0);
  EXPECT_EQ(summary.ttft.count, 2);
  EXPECT_DOUBLE_EQ(summary.ttft.mean, 150);
  EXPECT_EQ(summary.itl.count, 20);
  EXPECT_DOUBLE_EQ(summary.itl.mean, 45);
  EXPECT_DOUBLE_EQ(summary.tpot.max, 70);
  EXPECT_DOUBLE_EQ(summary.e2el.max, 900);
  EXPECT_EQ(summary.lateness.count, 5) << "of all that count";
  EXPECT_DOUBLE_EQ(summary.lateness.max, 4);
}

TEST_F(StageTest, GoodputCountsFailedOnesButNeitherCancelledNorSlow) {
  const StageSummary summary = SummarizeStage("", records_, {}, {.ttft_ms = 150}, 0);
  EXPECT_DOUBLE_EQ(*summary.request_goodput, 1);
  EXPECT_DOUBLE_EQ(*summary.good_share, 1.0 / 3);
}

TEST_F(StageTest, AWindowThatIsLongerSetsTheDuration) {
  const StageSummary summary =
      SummarizeStage("", records_, {.begin_ns = 500 * kMs, .end_ns = 2500 * kMs}, {}, 0);
  EXPECT_DOUBLE_EQ(summary.duration, 2);
  EXPECT_DOUBLE_EQ(summary.request_throughput, 1.5);
}

TEST(StageWithoutRequestsTest, IsAllZero) {
  const StageSummary summary = SummarizeStage("", {}, {}, {.ttft_ms = 1}, 1);
  EXPECT_EQ(summary.duration, 0);
  EXPECT_EQ(*summary.good_share, 0);
  EXPECT_EQ(summary.cpu_us_per_message, 0);
}

}  // namespace
}  // namespace winnow::load
