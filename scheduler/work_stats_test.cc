#include "scheduler/work_stats.h"

#include <memory>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/scheduler_fixture.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

uint64_t Finished(const WorkCounts& work, FinishReason reason) {
  return work.finished[static_cast<size_t>(reason)];
}
uint64_t AllFinished(const WorkCounts& work) {
  return std::accumulate(work.finished.begin(), work.finished.end(), uint64_t{0});
}

class WorkStatsTest : public SchedulerTest {
 protected:
  RequestSpec SpecNow(int64_t num_prompt, uint32_t max_tokens) const {
    RequestSpec spec = Spec(num_prompt, max_tokens);
    spec.arrival = now_;
    return spec;
  }
};

// Steps of a second, each planned a second after the one before has ended.
TEST_F(WorkStatsTest, TimesAndTokensOfARequest) {
  Start({.num_slots = 2, .num_pages = 100, .max_step_tokens = 16, .prompt_piece = 8});
  const Handle handle = Add(SpecNow(20, 5));
  RunToTheEnd();
  const WorkCounts work = scheduler_->work();
  EXPECT_EQ(Finished(work, FinishReason::kLength), 1u);
  EXPECT_EQ(AllFinished(work), 1u);
  EXPECT_EQ(work.queue_seconds.sum, 1);
  EXPECT_EQ(work.prefill_seconds.sum, 5);
  EXPECT_EQ(work.first_token_seconds.sum, 6);
  EXPECT_EQ(work.decode_seconds.sum, 8);
  EXPECT_EQ(work.request_seconds.sum, 14);
  for (const HistogramCounts* once :
       {&work.queue_seconds, &work.prefill_seconds, &work.first_token_seconds, &work.decode_seconds,
        &work.request_seconds}) {
    EXPECT_EQ(once->count(), 1u);
  }
  EXPECT_EQ(work.inter_token_seconds.count(), 4u);
  EXPECT_EQ(work.inter_token_seconds.sum, 8);
  EXPECT_EQ(work.prompt_tokens.sum, 20);
  EXPECT_EQ(work.generated_tokens.sum, 5);
  EXPECT_EQ(work.step_seconds.count(), 7u);
  EXPECT_EQ(work.step_seconds.sum, 7);
  EXPECT_EQ(work.step_tokens.sum, 8 + 8 + 4 + 4);
  EXPECT_EQ(work.step_sequences.sum, 7);
  EXPECT_EQ(work.failed_steps, 0u);
}

TEST_F(WorkStatsTest, KeptTokensOfEveryHeadByLayer) {
  Start({.num_slots = 2, .num_pages = 100, .max_step_tokens = 64, .prompt_piece = 64});
  const Handle a = Add(SpecNow(40, 5)), b = Add(SpecNow(12, 1));
  RunToTheEnd();
  const WorkCounts work = scheduler_->work();
  ASSERT_THAT(work.kept_tokens, SizeIs(1));
  EXPECT_EQ(work.kept_tokens[0].layer, 2);
  EXPECT_EQ(work.kept_tokens[0].tokens.count(), 4u) << "two heads, two sequences";
  int64_t sum = 0;
  for (const Handle& handle : {a, b}) {
    for (const int32_t kept : handle.sink->finish->kept_counts) sum += kept;
  }
  EXPECT_EQ(work.kept_tokens[0].tokens.sum, sum);
}

TEST_F(WorkStatsTest, ARequestOfSeveralChoicesIsOneRequest) {
  Start({.num_slots = 4, .num_pages = 400, .max_step_tokens = 64, .prompt_piece = 64});
  RequestSpec spec = SpecNow(10, 6);
  spec.num_choices = 3;
  Add(spec);
  RunToTheEnd();
  const WorkCounts work = scheduler_->work();
  EXPECT_EQ(AllFinished(work), 1u);
  EXPECT_EQ(work.first_token_seconds.count(), 1u);
  EXPECT_EQ(work.generated_tokens.sum, 3 * 6);
  EXPECT_EQ(work.inter_token_seconds.count(), 3u * 5);
  EXPECT_EQ(work.kept_tokens[0].tokens.count(), 3u * 2);
}

TEST_F(WorkStatsTest, EndsBeforeAnythingWasComputed) {
  Start({.num_slots = 1, .num_pages = 100, .max_step_tokens = 8, .prompt_piece = 8});
  const Handle running = Add(SpecNow(5, 1000)), waiting = Add(SpecNow(5, 3));
  ASSERT_TRUE(Step());
  waiting.request->Cancel();
  Add(SpecNow(5, 3));
  ASSERT_TRUE(Step());
  scheduler_->FinishWaiting(FinishReason::kError, absl::UnavailableError("shutting down"), now_);
  scheduler_->FinishAll(FinishReason::kCancelled, absl::OkStatus(), now_);
  const WorkCounts work = scheduler_->work();
  EXPECT_EQ(Finished(work, FinishReason::kCancelled), 2u);
  EXPECT_EQ(AllFinished(work), 2u);
  EXPECT_EQ(work.turned_away, 1u);
  EXPECT_EQ(work.request_seconds.count(), 2u);
  EXPECT_EQ(work.queue_seconds.count(), 1u);
  EXPECT_EQ(work.decode_seconds.count(), 1u);
  EXPECT_TRUE(running.sink->prompt_computed);
}

TEST_F(WorkStatsTest, PromptOnlyHasNoFirstToken) {
  Start({.num_slots = 1, .num_pages = 100});
  Add(SpecNow(5, 0));
  RunToTheEnd();
  const WorkCounts work = scheduler_->work();
  EXPECT_EQ(work.prefill_seconds.count(), 1u);
  EXPECT_EQ(work.first_token_seconds.count(), 0u);
  EXPECT_EQ(work.decode_seconds.count(), 0u);
  EXPECT_EQ(work.request_seconds.count(), 1u);
}

TEST_F(WorkStatsTest, FailedSteps) {
  Start({.num_slots = 1, .num_pages = 100});
  Add(SpecNow(5, 3));
  model_->FailNextWith(absl::StatusCode::kInternal);
  RunToTheEnd();
  const WorkCounts work = scheduler_->work();
  EXPECT_EQ(work.failed_steps, 1u);
  EXPECT_EQ(work.step_seconds.count(), 1u);
  EXPECT_EQ(Finished(work, FinishReason::kError), 1u);
}

TEST(WorkStatsOverlapTest, TimeOfStepsThatOverlapIsCountedOnce) {
  WorkStats stats(MakeTestSpec({}, /*page_tokens=*/4));
  const auto at = [](int64_t seconds) { return absl::FromUnixSeconds(seconds); };
  StepBatch batch;
  batch.tokens = {1, 2, 3};
  batch.slots = {1, 2};
  stats.StepPlanned(at(0));
  stats.StepPlanned(at(1));
  stats.StepEnded(batch, true, at(3));
  stats.StepPlanned(at(3));
  stats.StepEnded(batch, true, at(5));
  stats.StepEnded(batch, true, at(6));
  stats.StepPlanned(at(10));
  stats.StepEnded(batch, true, at(9));  // the clock was set back
  const WorkCounts work = stats.Read();
  EXPECT_EQ(work.step_seconds.sum, 6);
  EXPECT_EQ(work.step_seconds.count(), 4u);
  EXPECT_EQ(work.step_tokens.sum, 12);
  EXPECT_EQ(work.step_sequences.sum, 8);
  EXPECT_TRUE(work.kept_tokens.empty());
}

}  // namespace
}  // namespace winnow
