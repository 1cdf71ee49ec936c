// A step planned while the one before it is in flight: what it takes for granted, and what becomes
// of its rows when that turns out wrong.
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/drawn_token.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/scheduler_fixture.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Plans and commits are called by hand; a second passes before each.
class OverlapTest : public SchedulerTest {
 protected:
  void StartOverlapping(const TestLayers& layers, const SchedulerOptions& options,
                        FakeModelOptions fake = {}) {
    fake.max_in_flight = 2;
    Start(layers, options, fake);
  }
  void StartOverlapping(const SchedulerOptions& options) {
    StartOverlapping({.window = 8, .buffer = 12}, options);
  }

  // The plan, launched unless it is empty.
  const StepBatch& Plan() {
    now_ += absl::Seconds(1);
    batch_ = scheduler_->Plan(now_);
    scheduler_->CheckInvariants();
    scheduler_->Deliver();
    if (!batch_.empty()) steps_.push_back({batch_, model_->Launch(batch_)});
    return batch_;
  }

  // Of the oldest step; `spoil` may change its result.
  void Commit(const std::function<void(StepResult&)>& spoil = [](StepResult&) {}) {
    const auto [batch, launched] = std::move(steps_.front());
    steps_.pop_front();
    now_ += absl::Seconds(1);
    absl::StatusOr<StepResult> result = StepResult();
    const absl::Status status = launched.ok() ? model_->Wait(&*result) : launched;
    if (status.ok()) spoil(*result);
    if (!status.ok()) result = status;
    scheduler_->Commit(batch, result, now_);
    scheduler_->CheckInvariants();
    scheduler_->Deliver();
  }

  void GoOnToTheEnd() {
    while (steps_.size() > 1) Commit();
    while (!scheduler_->idle()) {
      const bool planned = !Plan().empty();
      while (steps_.size() > (planned ? 1u : 0u)) Commit();
    }
    ExpectEmpty();
  }

  std::deque<std::pair<StepBatch, absl::Status>> steps_;  // in flight
};

TEST_F(OverlapTest, AStepGoesOnFromWhatTheOneInFlightDraws) {
  StartOverlapping({.num_slots = 2, .num_pages = 100});
  RequestSpec spec = Spec(5, 3);
  spec.sampling.seed = 7;
  const Handle a = Add(spec);
  Plan();
  const int32_t slot = batch_.slots.at(0);
  EXPECT_EQ(batch_.logits_rows.at(0).slot, slot);
  EXPECT_FALSE(batch_.logits_rows.at(0).context.output_in_flight);
  Plan();
  EXPECT_THAT(batch_.tokens, ElementsAre(DrawnToken(slot)));
  EXPECT_THAT(batch_.positions, ElementsAre(5));
  const LogitsRow& row = batch_.logits_rows.at(0);
  EXPECT_EQ(row.position, 6);
  EXPECT_TRUE(row.context.output.empty());
  EXPECT_TRUE(row.context.output_in_flight);
  EXPECT_THAT(a.sink->tokens, IsEmpty()) << "nothing is committed yet";
  Commit();
  EXPECT_EQ(a.sink->tokens.size(), 1u);
  Plan();
  EXPECT_THAT(batch_.tokens, ElementsAre(DrawnToken(slot)));
  EXPECT_EQ(batch_.logits_rows.at(0).context.output.size(), 1u);
  Commit();
  EXPECT_TRUE(Plan().empty()) << "the last token is in flight";
  EXPECT_FALSE(scheduler_->idle());
  Commit();
  EXPECT_TRUE(scheduler_->idle());
  ExpectAsAlone(a);
  EXPECT_EQ(scheduler_->totals().num_steps, 3u);
}

TEST_F(OverlapTest, OnceCommittedATokenIsKnownByItsId) {
  StartOverlapping({.num_slots = 1, .num_pages = 100});
  const Handle a = Add(Spec(5, 9));
  Plan();
  Commit();
  Plan();
  EXPECT_THAT(batch_.tokens, ElementsAre(a.sink->tokens.at(0).token));
  EXPECT_FALSE(batch_.logits_rows.at(0).context.output_in_flight);
  GoOnToTheEnd();
  ExpectAsAlone(a);
}

TEST_F(OverlapTest, PiecesOfAPromptFollowOneAnother) {
  StartOverlapping({.num_slots = 1, .num_pages = 100, .max_step_tokens = 4, .prompt_piece = 4});
  RequestSpec spec = Spec(11, 2);
  spec.prompt_logprobs = 1;
  const Handle a = Add(spec);
  Plan();
  Plan();
  EXPECT_THAT(batch_.positions, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(batch_.zero_slots, IsEmpty());
  Commit();
  Plan();
  EXPECT_THAT(batch_.positions, ElementsAre(8, 9, 10));
  GoOnToTheEnd();
  ExpectAsAlone(a);
  EXPECT_EQ(a.sink->prompt_logprobs.size(), 10u);
}

TEST_F(OverlapTest, TheRowAfterAStopIsDiscardedAndItsSlotGoesOn) {
  StartOverlapping({.num_slots = 1, .num_pages = 30});
  RequestSpec spec = Spec(5, 100);
  spec.stop_token_ids = {model_->Predict(spec).tokens[0].token};
  const Handle a = Add(spec), next = Add(Spec(20, 6));
  Plan();
  Plan();
  ASSERT_EQ(batch_.num_tokens(), 1) << "of the one that is about to end";
  const int32_t slot = batch_.slots.at(0);
  Commit();
  ASSERT_TRUE(a.sink->ended());
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kStop);
  EXPECT_EQ(scheduler_->load().slots_used, 0) << "though a step in flight writes to it";
  Plan();
  EXPECT_THAT(batch_.slots, ElementsAre(slot));
  EXPECT_THAT(batch_.zero_slots, ElementsAre(slot));
  GoOnToTheEnd();
  ExpectAsAlone(a);
  ExpectAsAlone(next);
  EXPECT_EQ(scheduler_->totals().num_generated_tokens, 1u + 6u) << "no discarded one";
}

TEST_F(OverlapTest, CancelAndDeadlineEndWhatIsInFlight) {
  StartOverlapping({.num_slots = 2, .num_pages = 100});
  RequestSpec late = Spec(5, 50);
  late.deadline = now_ + absl::Seconds(3);
  const Handle a = Add(Spec(6, 50)), b = Add(late), next = Add(Spec(7, 5));
  Plan();
  Plan();
  a.request->Cancel();
  Commit();
  EXPECT_EQ(a.sink->tokens.size(), 1u);
  Plan();
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(b.sink->finish->reason, FinishReason::kDeadline);
  EXPECT_EQ(batch_.num_sequences(), 1) << "the next one, in a slot that a step still writes to";
  EXPECT_EQ(batch_.zero_slots.size(), 1u);
  GoOnToTheEnd();
  EXPECT_EQ(a.sink->tokens.size(), 1u);
  EXPECT_EQ(b.sink->tokens.size(), 1u);
  ExpectAsAlone(next);
}

TEST_F(OverlapTest, AFaultDiscardsTheRowThatWentOnFromIt) {
  StartOverlapping({.num_slots = 2, .num_pages = 100});
  const Handle a = Add(Spec(5, 6)), b = Add(Spec(6, 6)), next = Add(Spec(7, 6));
  Plan();
  Plan();
  EXPECT_EQ(batch_.num_sequences(), 2);
  Commit([](StepResult& result) { result.rows[0].fault = true; });
  ASSERT_TRUE(a.sink->ended());
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kError);
  EXPECT_THAT(a.sink->tokens, IsEmpty());
  GoOnToTheEnd();
  EXPECT_THAT(a.sink->tokens, IsEmpty());
  ExpectAsAlone(b);
  ExpectAsAlone(next);
}

TEST_F(OverlapTest, AFailedStepTakesItsSequencesFromTheNextOneToo) {
  StartOverlapping({.num_slots = 3, .num_pages = 100, .max_step_tokens = 2, .prompt_piece = 2});
  const Handle a = Add(Spec(2, 5)), b = Add(Spec(3, 5)), c = Add(Spec(1, 5));
  Plan();
  ASSERT_EQ(batch_.num_sequences(), 1);
  model_->FailNextWith(absl::StatusCode::kInternal);
  Plan();
  Commit();
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kError);
  EXPECT_FALSE(b.sink->ended());
  GoOnToTheEnd();
  EXPECT_THAT(a.sink->tokens, IsEmpty());
  ExpectAsAlone(b);
  ExpectAsAlone(c);
}

// The step before it is as good as ever.
TEST_F(OverlapTest, AStepThatIsNotLaunchedEndsItsSequencesAfterTheOneBefore) {
  StartOverlapping({.num_slots = 2, .num_pages = 100});
  const Handle a = Add(Spec(5, 6));
  Plan();
  now_ += absl::Seconds(1);
  steps_.push_back({scheduler_->Plan(now_), absl::InternalError("no launch")});
  Commit();
  EXPECT_EQ(a.sink->tokens.size(), 1u);
  EXPECT_FALSE(a.sink->ended());
  Commit();
  ASSERT_TRUE(a.sink->ended());
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kError);
  EXPECT_THAT(std::string(a.sink->finish->error.message()), HasSubstr("no launch"));
  EXPECT_EQ(a.sink->tokens.size(), 1u);
  ExpectEmpty();
}

TEST_F(OverlapTest, ChoicesAreCopiedFromThePromptsEnd) {
  StartOverlapping({.window = 8, .buffer = 12, .full = true},
                   {.num_slots = 4, .num_pages = 200, .prompt_piece = 8});
  RequestSpec spec = Spec(30, 5);
  spec.num_choices = 3;
  const Handle a = Add(spec), b = Add(Spec(40, 9));
  for (int i = 0; i < 4; ++i) {
    Plan();
    if (i > 0) Commit();
  }
  Plan();  // beside the prompt's last piece
  EXPECT_EQ(batch_.num_sequences(), 1) << "the first choice stands still";
  EXPECT_EQ(batch_.positions.front(), 32);
  Commit();
  EXPECT_EQ(a.sink->choice(2).tokens.size(), 1u);
  Plan();
  EXPECT_EQ(batch_.slot_copies.size(), 2u);
  EXPECT_EQ(batch_.num_sequences(), 4);
  Commit();
  Plan();
  EXPECT_THAT(batch_.slot_copies, IsEmpty());
  EXPECT_EQ(batch_.num_sequences(), 4);
  for (const uint32_t token : batch_.tokens) EXPECT_TRUE(IsDrawn(token));
  GoOnToTheEnd();
  ExpectAsAlone(a);
  ExpectAsAlone(b);
}

TEST_F(OverlapTest, StopTokensAreSuppressedByWhatWillHaveBeenDrawn) {
  StartOverlapping({.num_slots = 1, .num_pages = 100});
  RequestSpec spec = Spec(5, 9);
  spec.min_tokens = 2;
  const std::vector<OutputToken> free = model_->Predict(spec).tokens;
  spec.stop_token_ids = {free[0].token, free[1].token, free[2].token};
  const Handle a = Add(spec);
  for (const size_t expected : {3u, 3u, 0u}) {
    Plan();
    EXPECT_EQ(batch_.logits_rows.at(0).context.suppressed.size(), expected);
    if (steps_.size() == 2) Commit();
  }
  GoOnToTheEnd();
  ExpectAsAlone(a);
}

TEST_F(OverlapTest, PagesAreForTheWorstCaseOfBothSteps) {
  // Of two heads each: a ring of 9 places, and 12 kept ones; pages of 4.
  StartOverlapping({.window = 8, .buffer = 12},
                   {.num_slots = 1, .num_pages = 100, .max_step_tokens = 8, .prompt_piece = 8},
                   {.fewer_kept_rate = 1});
  const Handle a = Add(Spec(100, 4));
  const Sequence& sequence = a.request->sequences[0];
  const auto pages = [&](int64_t from, int64_t to) {
    int64_t sum = 0;
    for (const PageList& list : spec_->lists()) {
      const bool kept = list.kind == PageListKind::kKept && !sequence.kept_counts.empty();
      sum += spec_->PagesFor(list, from, to, kept ? sequence.kept_counts[list.kept_index] : 0);
    }
    return sum;
  };
  Plan();
  for (int64_t computed = 0; computed < 80; computed += 8) {
    Plan();
    EXPECT_EQ(scheduler_->load().pages_used, pages(computed, computed + 16));
    Commit();
    EXPECT_EQ(scheduler_->load().pages_used, pages(computed + 8, computed + 16));
  }
  GoOnToTheEnd();
  ExpectAsAlone(a);
}

TEST_F(OverlapTest, AllMayEndWhileStepsAreInFlight) {
  StartOverlapping({.num_slots = 2, .num_pages = 100});
  const Handle a = Add(Spec(5, 50)), b = Add(Spec(5, 50)), c = Add(Spec(5, 50));
  Plan();
  Plan();
  scheduler_->FinishAll(FinishReason::kCancelled, absl::OkStatus(), now_);
  scheduler_->CheckInvariants();
  scheduler_->Deliver();
  for (const Handle& handle : {a, b, c}) {
    EXPECT_EQ(handle.sink->finish->reason, FinishReason::kCancelled);
  }
  EXPECT_FALSE(scheduler_->idle()) << "there are steps to wait for";
  Commit();
  EXPECT_TRUE(Plan().empty());
  Commit();
  ExpectEmpty();
  EXPECT_EQ(scheduler_->totals().num_generated_tokens, 0u);
  EXPECT_EQ(scheduler_->totals().num_prompt_tokens, 0u);
}

using OverlapDeathTest = OverlapTest;

// Copies are for the plan after the commit that forked.
TEST_F(OverlapDeathTest, ForksArePlannedBeforeTheNextGoodStepIsCommitted) {
  StartOverlapping({.num_slots = 3, .num_pages = 100});
  RequestSpec spec = Spec(5, 5);
  spec.num_choices = 2;
  Add(spec);
  Plan();
  Add(Spec(5, 5));
  Plan();
  Commit();
  EXPECT_DEATH(Commit(), "were not planned");
}

}  // namespace
}  // namespace winnow
