// Several choices from one prompt: computed once, then forked.
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/philox.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/scheduler_fixture.h"

namespace winnow {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ChoicesTest : public SchedulerTest {
 protected:
  static RequestSpec Choices(uint32_t n, int64_t num_prompt, uint32_t max_tokens) {
    RequestSpec spec = Spec(num_prompt, max_tokens);
    spec.num_choices = n;
    spec.sampling.seed = 77;
    return spec;
  }
};

TEST_F(ChoicesTest, ThePromptIsComputedOnceAndEachChoiceIsAsWithItsOwnSeed) {
  Start({.num_slots = 4, .num_pages = 200, .max_step_tokens = 8, .prompt_piece = 8});
  const Handle a = Add(Choices(3, 11, 5));
  ASSERT_TRUE(Step());
  ASSERT_TRUE(Step());
  ASSERT_EQ(batch_.logits_rows.size(), 3u) << "one row of logits, sampled for every choice";
  for (uint32_t c = 0; c < 3; ++c) {
    EXPECT_EQ(batch_.logits_rows[c].row, 2);
    EXPECT_EQ(batch_.logits_rows[c].sampling.seed, DeriveSeed(77, c));
    EXPECT_EQ(a.sink->choice(c).tokens.size(), 1u) << "all begin in the same step";
  }
  ASSERT_TRUE(Step());
  EXPECT_EQ(batch_.slot_copies.size(), 2u);
  EXPECT_EQ(batch_.num_sequences(), 3);
  EXPECT_THAT(batch_.zero_slots, IsEmpty());
  RunToTheEnd();
  ExpectAsAlone(a);
  EXPECT_EQ(scheduler_->totals().num_prompt_tokens, 11u);
  EXPECT_EQ(scheduler_->totals().num_generated_tokens, 15u);
  // The same as three requests with the choices' seeds.
  for (uint32_t c = 0; c < 3; ++c) {
    RequestSpec own = Spec(11, 5);
    own.sampling.seed = DeriveSeed(77, c);
    const Handle alone = Add(own);
    RunToTheEnd();
    EXPECT_EQ(Tokens(alone.sink->tokens), Tokens(a.sink->choice(c).tokens));
  }
}

TEST_F(ChoicesTest, FullPagesOfGrowingListsAreSharedAndCountedOnce) {
  // Full attention, pages of 4: 10 prompt tokens fill 2 pages for good, the third is half full.
  Start({.full = true}, {.num_slots = 3, .num_pages = 20});
  const Handle a = Add(Choices(3, 10, 7));  // 16 computed tokens: 4 pages each
  ASSERT_TRUE(Step());
  EXPECT_EQ(scheduler_->load().slots_reserved, 3);
  EXPECT_EQ(scheduler_->load().pages_reserved, 3 * 4 - 2 * 2);
  EXPECT_EQ(scheduler_->load().pages_used, 2 + 3);
  ASSERT_TRUE(Step());
  EXPECT_EQ(batch_.page_copies.size(), 2u) << "the half full one, for each of two";
  EXPECT_EQ(batch_.page_edits.size(), 2u);
  RunToTheEnd();
  ExpectAsAlone(a);
}

TEST_F(ChoicesTest, AChoiceThatEndsGivesItsShareBack) {
  Start({.full = true}, {.num_slots = 3, .num_pages = 20});
  RequestSpec spec = Choices(3, 10, 7);
  spec.stop_token_ids = {model_->Predict(spec, 0).tokens[1].token};
  const Handle a = Add(spec);
  while (!a.sink->finish.has_value()) ASSERT_TRUE(Step());
  ASSERT_FALSE(a.sink->ended());
  int64_t live = 0;
  for (uint32_t c = 0; c < 3; ++c) live += !a.sink->choice(c).finish.has_value();
  EXPECT_EQ(scheduler_->load().slots_reserved, live);
  EXPECT_EQ(scheduler_->load().pages_reserved, live * 4 - (live - 1) * 2);
  EXPECT_EQ(scheduler_->load().running, 1);
  RunToTheEnd();
  ExpectAsAlone(a);
}

TEST_F(ChoicesTest, WaitsUntilAllChoicesFit) {
  Start({.num_slots = 3, .num_pages = 200});
  const Handle one = Add(Spec(5, 4));
  const Handle three = Add(Choices(3, 5, 2));
  const Handle behind = Add(Spec(5, 1));
  ASSERT_TRUE(Step());
  EXPECT_EQ(three.request->state(), RequestState::kWaiting);
  EXPECT_EQ(behind.request->state(), RequestState::kWaiting);
  RunToTheEnd();
  ExpectAsAlone(one);
  ExpectAsAlone(three);
  ExpectAsAlone(behind);
}

TEST_F(ChoicesTest, MoreChoicesThanSlotsNeverFit) {
  Start({.num_slots = 3, .num_pages = 200});
  Handle a;
  const absl::Status status = TryAdd(Choices(4, 5, 2), &a);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "prompt with 4 choices needs as many slots, the pool has 3");
  const Handle prompt_only = Add(Choices(4, 5, 0));
  RunToTheEnd();
  ExpectAsAlone(prompt_only);
}

TEST_F(ChoicesTest, OneTokenEachNeedsNoFork) {
  Start({.num_slots = 3, .num_pages = 200});
  const Handle a = Add(Choices(3, 5, 1));
  ASSERT_TRUE(Step());
  EXPECT_TRUE(a.sink->ended());
  const Handle b = Add(Spec(5, 2));
  ASSERT_TRUE(Step());
  EXPECT_THAT(batch_.slot_copies, IsEmpty()) << "of what has ended";
  RunToTheEnd();
  ExpectAsAlone(a);
  ExpectAsAlone(b);
}

TEST_F(ChoicesTest, TheFirstChoiceMayEndBeforeTheOthersAreCopiedFromIt) {
  Start({.window = 8, .buffer = 12, .full = true}, {.num_slots = 3, .num_pages = 200});
  RequestSpec spec = Choices(3, 30, 6);
  spec.stop_token_ids = {model_->Predict(spec, 0).tokens[0].token};
  const Handle a = Add(spec);
  const Handle next = Add(Spec(30, 6));  // takes the slot that choice 0 leaves
  ASSERT_TRUE(Step());
  ASSERT_TRUE(a.sink->finish.has_value());
  RunToTheEnd();
  ExpectAsAlone(a);
  ExpectAsAlone(next);
}

TEST_F(ChoicesTest, CancelEndsEveryChoiceOnce) {
  Start({.num_slots = 3, .num_pages = 200, .max_step_tokens = 4, .prompt_piece = 4});
  const Handle prompt = Add(Choices(3, 9, 50));
  const Handle waiting = Add(Choices(2, 9, 50));
  ASSERT_TRUE(Step());
  prompt.request->Cancel();
  waiting.request->Cancel();
  RunToTheEnd();
  EXPECT_TRUE(prompt.sink->ended());
  EXPECT_TRUE(waiting.sink->ended());
  const Handle running = Add(Choices(3, 3, 50));
  ASSERT_TRUE(Step());
  ASSERT_TRUE(Step());
  running.request->Cancel();
  RunToTheEnd();
  for (uint32_t c = 0; c < 3; ++c) {
    EXPECT_EQ(running.sink->choice(c).finish->reason, FinishReason::kCancelled);
  }
}

TEST_F(ChoicesTest, AFaultyPromptEndsAllAndAFaultyChoiceItself) {
  Start({.num_slots = 3, .num_pages = 200});
  const Handle prompt = Add(Choices(3, 5, 5));
  batch_ = scheduler_->Plan(now_);
  absl::StatusOr<StepResult> result = RunModel();
  for (RowResult& row : result->rows) row.fault = true;
  scheduler_->Commit(batch_, result, now_);
  scheduler_->CheckInvariants();
  scheduler_->Deliver();
  ASSERT_TRUE(prompt.sink->ended());
  EXPECT_FALSE(prompt.sink->prompt_computed);
  EXPECT_EQ(prompt.sink->choice(2).finish->reason, FinishReason::kError);

  const Handle a = Add(Choices(3, 5, 5));
  ASSERT_TRUE(Step());
  batch_ = scheduler_->Plan(now_);
  result = RunModel();
  ASSERT_EQ(result->rows.size(), 3u);
  result->rows[1].fault = true;
  scheduler_->Commit(batch_, result, now_);
  scheduler_->CheckInvariants();
  RunToTheEnd();
  EXPECT_EQ(a.sink->choice(1).finish->reason, FinishReason::kError);
  EXPECT_EQ(a.sink->choice(1).tokens.size(), 1u);
  for (const uint32_t c : {0u, 2u}) {
    EXPECT_EQ(Tokens(a.sink->choice(c).tokens),
              Tokens(model_->Predict(Choices(3, 5, 5), c).tokens));
  }
}

// The copies are made in the step that fails: choices that were not served in it are lost with it.
TEST_F(ChoicesTest, AFailedStepTakesTheCopiesThatItBeganWith) {
  Start({.num_slots = 3, .num_pages = 200, .max_step_tokens = 2, .prompt_piece = 2});
  const Handle a = Add(Choices(3, 2, 5));
  ASSERT_TRUE(Step());
  model_->FailNextWith(absl::StatusCode::kInternal);
  ASSERT_TRUE(Step());
  EXPECT_EQ(batch_.num_sequences(), 2);
  ASSERT_TRUE(a.sink->ended());
  for (uint32_t c = 0; c < 3; ++c) {
    EXPECT_EQ(a.sink->choice(c).finish->reason, FinishReason::kError) << c;
    EXPECT_THAT(std::string(a.sink->choice(c).finish->error.message()), HasSubstr("request r"));
  }
  ExpectEmpty();
}

// ---- Stopping ----

// Ends the text at the n-th token that may end it.
class CountingMatcher : public StopMatcher {
 public:
  explicit CountingMatcher(int n) : left_(n) {}
  std::optional<std::string> Append(uint32_t, bool may_stop) override {
    if (may_stop && --left_ == 0) return "stop";
    return std::nullopt;
  }

 private:
  int left_;
};

TEST_F(ChoicesTest, StopStringsEndTheStepThatCompletesThem) {
  Start({.num_slots = 2, .num_pages = 200});
  RequestSpec spec = Choices(2, 5, 50);
  spec.min_tokens = 4;
  spec.make_stop_matcher = [] { return std::make_unique<CountingMatcher>(2); };
  const Handle a = Add(spec);
  RunToTheEnd();
  for (uint32_t c = 0; c < 2; ++c) {
    const FinishInfo& finish = *a.sink->choice(c).finish;
    EXPECT_EQ(finish.reason, FinishReason::kStop);
    EXPECT_EQ(finish.stop_text, "stop");
    EXPECT_FALSE(finish.stop_token_id.has_value());
    EXPECT_EQ(finish.num_output_tokens, 6u);
  }
}

TEST_F(ChoicesTest, StopTokensAreNotDrawnBeforeMinTokens) {
  Start({.num_slots = 1, .num_pages = 200});
  RequestSpec spec = Spec(5, 50);
  spec.min_tokens = 3;
  const std::vector<OutputToken> free = model_->Predict(spec).tokens;
  spec.stop_token_ids = {free[0].token, free[1].token};
  const Handle a = Add(spec);
  ASSERT_TRUE(Step());
  EXPECT_EQ(batch_.logits_rows.at(0).context.suppressed.size(), 2u);
  for (int i = 1; i < 3; ++i) ASSERT_TRUE(Step());
  EXPECT_FALSE(a.sink->finish.has_value());
  ASSERT_TRUE(Step());
  EXPECT_TRUE(batch_.logits_rows.at(0).context.suppressed.empty());
  RunToTheEnd();
  ExpectAsAlone(a);
}

TEST_F(ChoicesTest, RowsCarryTheTokensThatPenaltiesRead) {
  Start({.num_slots = 1, .num_pages = 200});
  RequestSpec spec = Spec(5, 3);
  spec.logit_bias = {{.token = 3, .bias = 1.5f}};
  const Handle a = Add(spec);
  ASSERT_TRUE(Step());
  EXPECT_EQ(batch_.logits_rows.at(0).context.prompt.size(), 5u);
  EXPECT_TRUE(batch_.logits_rows.at(0).context.output.empty());
  batch_ = scheduler_->Plan(now_);
  const TokenContext& context = batch_.logits_rows.at(0).context;
  ASSERT_EQ(context.output.size(), 1u);
  EXPECT_EQ(context.output[0], a.sink->tokens[0].token);
  ASSERT_EQ(context.logit_bias.size(), 1u);
  EXPECT_EQ(context.logit_bias[0].bias, 1.5f);
  scheduler_->Commit(batch_, RunModel(), now_);
  RunToTheEnd();
}

// ---- The queue ----

TEST_F(ChoicesTest, WaitingPromptTokensAreBounded) {
  Start({.num_slots = 1, .num_pages = 200, .max_waiting_tokens = 10});
  Handle refused;
  const Handle big = Add(Spec(50, 1));  // alone it may always wait
  EXPECT_EQ(TryAdd(Spec(1, 1), &refused).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(Step());
  Add(Spec(6, 1));
  Add(Spec(4, 1));
  const absl::Status status = TryAdd(Spec(1, 1), &refused);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "10 prompt tokens wait already; with 1 more there would be more than 10");
  RunToTheEnd();
  ExpectAsAlone(big);
}

TEST_F(ChoicesTest, PriorityAgesSoThatNobodyStarves) {
  Start({.num_slots = 1, .num_pages = 200, .priority_ageing = absl::Seconds(10)});
  const auto add = [&](int32_t priority, absl::Duration later) {
    RequestSpec spec = Spec(2, 1);
    spec.priority = priority;
    spec.arrival = now_ + later;
    return Add(spec);
  };
  const Handle low = add(0, absl::ZeroDuration());
  const Handle soon = add(2, absl::Seconds(19));  // as if it had come a second earlier
  const Handle late = add(2, absl::Seconds(21));  // a second later
  ASSERT_TRUE(Step());
  EXPECT_TRUE(soon.sink->ended());
  EXPECT_FALSE(low.sink->ended());
  ASSERT_TRUE(Step());
  EXPECT_TRUE(low.sink->ended());
  EXPECT_FALSE(late.sink->ended());
  RunToTheEnd();
}

}  // namespace
}  // namespace winnow
