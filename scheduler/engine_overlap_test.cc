// The engine's loop on a model that takes a second step while one is in flight.
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/engine.h"
#include "scheduler/testing/engine_fixture.h"

namespace winnow {
namespace {

class EngineOverlapTest : public EngineTest {
 protected:
  void StartOverlapping(const SchedulerOptions& options) { Start(options, /*max_in_flight=*/2); }

  // Holds the loop with the first step of a request in flight, before its second one.
  Handle SubmitAndHoldInFlight(const RequestSpec& spec) {
    gate_.Close();
    const Handle handle = Submit(spec);
    gate_.WaitUntilHeld();
    gate_.PassOne();
    return handle;
  }
};

TEST_F(EngineOverlapTest, LaunchesTheNextStepBeforeItDelivers) {
  StartOverlapping(kSmall);
  const Handle a = SubmitAndHoldInFlight(Spec(3, 5));
  EXPECT_EQ(engine_->Stats().num_steps, 0u) << "the first is in flight";
  EXPECT_EQ(engine_->Stats().num_generated_tokens, 0u);
  gate_.PassOne();
  EXPECT_EQ(engine_->Stats().num_steps, 1u) << "told while the second is in flight";
  EXPECT_EQ(engine_->Stats().num_generated_tokens, 1u);
  gate_.Open();
  ExpectAsAlone(a);
  EXPECT_EQ(engine_->Stats().num_steps, 5u);
  ExpectNothingLeft();
}

TEST_F(EngineOverlapTest, SleepsOnlyAfterTheLastStepThatNobodyNeeds) {
  StartOverlapping(kSmall);
  for (int i = 0; i < 20; ++i) {
    RequestSpec spec = Spec(3 + i, 50);
    spec.stop_token_ids = {model_->Predict(spec).tokens[i % 3].token};
    ExpectAsAlone(Submit(spec));
  }
  engine_->Drain(absl::InfiniteFuture());
  ExpectNothingLeft();
}

TEST_F(EngineOverlapTest, CancelCountsBeforeTheNextPlan) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  StartOverlapping(options);
  const Handle running = SubmitAndHoldInFlight(Spec(3, 100000));
  const Handle next = Submit(Spec(3, 2));
  engine_->Cancel(*running.request);
  gate_.Open();
  EXPECT_EQ(EndOf(running), FinishReason::kCancelled);
  EXPECT_EQ(running.sink->tokens.size(), 1u)
      << "of the step in flight; the held one's is discarded";
  ExpectAsAlone(next);
  ExpectNothingLeft();
}

TEST_F(EngineOverlapTest, FailedStepEndsItsSequencesAndTheEngineGoesOn) {
  StartOverlapping(kSmall);
  const Handle a = SubmitAndHoldInFlight(Spec(3, 50));
  model_->FailNextWith(absl::StatusCode::kInternal);
  gate_.Open();
  EXPECT_EQ(EndOf(a), FinishReason::kError);
  EXPECT_EQ(a.sink->tokens.size(), 0u) << "nor those of the step after it";
  ExpectAsAlone(Submit(Spec(3, 5)));
}

TEST_F(EngineOverlapTest, DrainEndsTheRestAtItsDeadlineWithAStepInFlight) {
  StartOverlapping(kSmall);
  const Handle a = SubmitAndHoldInFlight(Spec(3, 1000000));
  std::future<void> drained =
      std::async(std::launch::async, [&] { engine_->Drain(absl::FromUnixSeconds(25)); });
  while (!engine_->Stats().draining) std::this_thread::yield();
  gate_.Open();
  drained.get();
  ASSERT_TRUE(a.sink->finish.has_value());
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(a.sink->tokens.size(), 24u) << "a second a step, and one of them in flight";
  ExpectNothingLeft();
}

TEST_F(EngineOverlapTest, DestructorWaitsForTheStepInFlight) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  StartOverlapping(options);
  const Handle running = SubmitAndHoldInFlight(Spec(3, 1000000));
  const Handle waiting = Submit(Spec(3, 2));
  gate_.Open();
  engine_.reset();
  EXPECT_EQ(EndOf(running), FinishReason::kCancelled);
  EXPECT_EQ(EndOf(waiting), FinishReason::kCancelled);
}

TEST_F(EngineOverlapTest, LostDeviceEndsEverythingAndTheEngine) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  StartOverlapping(options);
  const Handle running = SubmitAndHoldInFlight(Spec(3, 50));
  const Handle waiting = Submit(Spec(3, 2));
  model_->FailNextWith(absl::StatusCode::kDataLoss);
  gate_.Open();
  EXPECT_EQ(fatal_.get_future().get().code(), absl::StatusCode::kDataLoss);
  for (const Handle& handle : {running, waiting}) {
    ASSERT_TRUE(handle.sink->finish.has_value()) << "all are answered before on_fatal";
    EXPECT_EQ(EndOf(handle), FinishReason::kError);
    EXPECT_EQ(handle.sink->finish->error.code(), absl::StatusCode::kInternal);
  }
  ExpectNothingLeft();
}

}  // namespace
}  // namespace winnow
