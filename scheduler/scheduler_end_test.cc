// How requests end: cancelled, late, faulty, in a failed step, or all together.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/scheduler_fixture.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;

TEST_F(SchedulerTest, CancelEndsWithinOneStepWhereverTheRequestIs) {
  Start({.num_slots = 1, .num_pages = 100, .max_step_tokens = 4, .prompt_piece = 4});
  const Handle running = Add(Spec(20, 50));
  const Handle waiting = Add(Spec(7, 5));
  const Handle next = Add(Spec(7, 5));
  ASSERT_TRUE(Step());
  waiting.request->Cancel();
  ASSERT_TRUE(Step());
  ASSERT_TRUE(waiting.sink->finish.has_value());
  EXPECT_EQ(waiting.sink->finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(waiting.sink->finish->prefill_time, absl::ZeroDuration());
  EXPECT_TRUE(waiting.sink->finish->kept_counts.empty());
  EXPECT_FALSE(running.sink->finish.has_value());
  running.request->Cancel();
  ASSERT_TRUE(Step());
  EXPECT_EQ(running.sink->finish->reason, FinishReason::kCancelled);
  EXPECT_FALSE(running.sink->prompt_computed);
  EXPECT_EQ(next.request->state(), RequestState::kRunning) << "in the place it left";
  RunToTheEnd();
  ExpectAsAlone(next);
}

TEST_F(SchedulerTest, DeadlineEndsWaitingAndRunningRequests) {
  Start({.num_slots = 1, .num_pages = 100});
  RequestSpec spec = Spec(5, 1000);
  spec.deadline = now_ + absl::Seconds(9);
  const Handle running = Add(spec);
  spec.deadline = now_ + absl::Seconds(4);
  const Handle waiting = Add(spec);
  ASSERT_TRUE(Step());  // plans at +1
  EXPECT_FALSE(waiting.sink->finish.has_value());
  ASSERT_TRUE(Step());  // +3
  EXPECT_FALSE(waiting.sink->finish.has_value());
  ASSERT_TRUE(Step());  // +5
  ASSERT_TRUE(waiting.sink->finish.has_value());
  EXPECT_EQ(waiting.sink->finish->reason, FinishReason::kDeadline);
  ASSERT_TRUE(Step());   // +7
  EXPECT_FALSE(Step());  // +9: not before, and not a moment later
  ASSERT_TRUE(running.sink->finish.has_value());
  EXPECT_EQ(running.sink->finish->reason, FinishReason::kDeadline);
  EXPECT_EQ(running.sink->finish->num_output_tokens, 4u);
  ExpectEmpty();
}

TEST_F(SchedulerTest, FaultEndsThatRequestOnly) {
  Start({.num_slots = 3, .num_pages = 200});
  const Handle a = Add(Spec(3, 5)), b = Add(Spec(4, 5)), c = Add(Spec(5, 5));
  ASSERT_TRUE(Step());
  batch_ = scheduler_->Plan(now_);
  absl::StatusOr<StepResult> result = RunModel();
  ASSERT_EQ(result->rows.size(), 3u);
  result->rows[1].fault = true;
  scheduler_->Commit(batch_, result, now_);
  scheduler_->CheckInvariants();
  scheduler_->Deliver();
  ASSERT_TRUE(b.sink->finish.has_value());
  EXPECT_EQ(b.sink->finish->reason, FinishReason::kError);
  EXPECT_EQ(b.sink->finish->error.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(b.sink->finish->error.message()), HasSubstr("request r"));
  EXPECT_EQ(b.sink->tokens.size(), 1u) << "nothing of the faulty step is delivered";
  RunToTheEnd();
  ExpectAsAlone(a);
  ExpectAsAlone(c);
}

TEST_F(SchedulerTest, FailedStepEndsItsSequencesOnly) {
  Start({.num_slots = 3, .num_pages = 200, .max_step_tokens = 2, .prompt_piece = 2});
  const Handle a = Add(Spec(2, 5)), b = Add(Spec(2, 5)), c = Add(Spec(2, 5));
  model_->FailNextWith(absl::StatusCode::kInternal);
  ASSERT_TRUE(Step());
  ASSERT_TRUE(a.sink->finish.has_value());
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kError);
  EXPECT_EQ(a.sink->finish->error.message(), "request r: step failed: step failed");
  EXPECT_EQ(a.sink->finish->error.code(), absl::StatusCode::kInternal);
  RunToTheEnd();
  ExpectAsAlone(b);
  ExpectAsAlone(c);
}

TEST_F(SchedulerTest, FinishWaitingLeavesWhatRunsAlone) {
  Start({.num_slots = 1, .num_pages = 100});
  const Handle running = Add(Spec(3, 3)), waiting = Add(Spec(3, 3));
  ASSERT_TRUE(Step());
  scheduler_->FinishWaiting(FinishReason::kError, absl::UnavailableError("closing"), now_);
  EXPECT_FALSE(waiting.sink->finish.has_value()) << "told by Deliver";
  EXPECT_EQ(scheduler_->load().waiting, 0);
  RunToTheEnd();
  EXPECT_EQ(waiting.sink->finish->reason, FinishReason::kError);
  EXPECT_EQ(waiting.sink->finish->error.code(), absl::StatusCode::kUnavailable);
  ExpectAsAlone(running);
}

TEST_F(SchedulerTest, FinishAllEndsEverything) {
  Start({.num_slots = 1, .num_pages = 100});
  const Handle running = Add(Spec(3, 3)), waiting = Add(Spec(3, 3));
  ASSERT_TRUE(Step());
  scheduler_->FinishAll(FinishReason::kCancelled, absl::OkStatus(), now_);
  scheduler_->CheckInvariants();
  scheduler_->Deliver();
  ExpectEmpty();
  EXPECT_EQ(running.sink->finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(waiting.sink->finish->reason, FinishReason::kCancelled);
}

TEST_F(SchedulerTest, ResourcesAreBackBeforeTheSinkHears) {
  Start({.num_slots = 1, .num_pages = 100});
  struct Sink : RecordingSink {
    void OnFinish(uint32_t choice, FinishInfo info) override {
      EXPECT_EQ(scheduler->load().slots_reserved, 0);
      EXPECT_EQ(scheduler->load().pages_reserved, 0);
      RecordingSink::OnFinish(choice, std::move(info));
    }
    Scheduler* scheduler;
  };
  auto sink = std::make_shared<Sink>();
  sink->scheduler = scheduler_.get();
  ASSERT_TRUE(scheduler_->Enqueue(std::make_shared<Request>(Spec(3, 1), sink)).ok());
  RunToTheEnd();
  EXPECT_TRUE(sink->finish.has_value());
}

TEST_F(SchedulerTest, ClockSetBackGivesNoNegativeTimes) {
  Start({.num_slots = 1, .num_pages = 100});
  RequestSpec spec = Spec(3, 2);
  spec.arrival = now_ + absl::Hours(1);
  const Handle a = Add(spec);
  ASSERT_TRUE(Step());
  now_ -= absl::Hours(2);
  RunToTheEnd();
  EXPECT_EQ(a.sink->finish->queue_time, absl::ZeroDuration());
  EXPECT_EQ(a.sink->finish->decode_time, absl::ZeroDuration());
}

TEST_F(SchedulerTest, EmptyPlanWhenNothingIsLeft) {
  Start({.num_slots = 1, .num_pages = 100});
  EXPECT_FALSE(Step());
  EXPECT_FALSE(Step());
  EXPECT_EQ(scheduler_->totals().num_steps, 0u);
}

using SchedulerDeathTest = SchedulerTest;

TEST_F(SchedulerDeathTest, BrokenContractsAreCaught) {
  Start({.num_slots = 1, .num_pages = 100});
  const Handle a = Add(Spec(30, 3));
  batch_ = scheduler_->Plan(now_);
  EXPECT_DEATH(
      {
        scheduler_->Plan(now_);
        scheduler_->Plan(now_);
      },
      "2 steps in flight");
  absl::StatusOr<StepResult> result = RunModel();
  ASSERT_TRUE(result.ok());
  absl::StatusOr<StepResult> short_rows = *result;
  short_rows->rows.clear();
  EXPECT_DEATH(scheduler_->Commit(batch_, short_rows, now_), "CHECK failed");
  absl::StatusOr<StepResult> too_many_kept = *result;
  too_many_kept->kept_counts[0] = 13;
  EXPECT_DEATH(scheduler_->Commit(batch_, too_many_kept, now_), "13 kept tokens");
}

}  // namespace
}  // namespace winnow
