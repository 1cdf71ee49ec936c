#include "scheduler/scheduler.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/testing/scheduler_fixture.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ---- The life of one request ----

TEST_F(SchedulerTest, OneRequestFromPromptToLastToken) {
  Start({.num_slots = 2, .num_pages = 100, .max_step_tokens = 16, .prompt_piece = 8});
  RequestSpec spec = Spec(11, 3);
  spec.arrival = now_;
  const Handle a = Add(spec);
  EXPECT_EQ(scheduler_->load().waiting_prompt_tokens, 11);

  ASSERT_TRUE(Step());  // at 1001, committed at 1002
  EXPECT_EQ(batch_.num_tokens(), 8);
  EXPECT_EQ(batch_.zero_slots.size(), 1u);
  EXPECT_TRUE(batch_.logits_rows.empty());
  EXPECT_FALSE(a.sink->prompt_computed);
  EXPECT_EQ(scheduler_->load().running, 1);
  EXPECT_EQ(scheduler_->load().waiting_prompt_tokens, 0);

  ASSERT_TRUE(Step());  // at 1003, committed at 1004
  EXPECT_THAT(batch_.positions, ElementsAre(8, 9, 10));
  EXPECT_TRUE(batch_.zero_slots.empty());
  ASSERT_EQ(batch_.logits_rows.size(), 1u);
  EXPECT_EQ(batch_.logits_rows[0].row, 2);
  EXPECT_EQ(batch_.logits_rows[0].position, 11);
  EXPECT_FALSE(batch_.logits_rows[0].want_logprobs);
  EXPECT_TRUE(a.sink->prompt_computed);
  EXPECT_EQ(a.sink->tokens.size(), 1u);

  ASSERT_TRUE(Step());
  EXPECT_THAT(batch_.positions, ElementsAre(11));
  EXPECT_EQ(batch_.logits_rows[0].position, 12);
  ASSERT_TRUE(Step());  // at 1007, committed at 1008; the third token is sampled, not computed
  EXPECT_THAT(batch_.positions, ElementsAre(12));
  EXPECT_FALSE(Step());

  ExpectAsAlone(a);
  ExpectEmpty();
  const FinishInfo& finish = *a.sink->finish;
  EXPECT_EQ(finish.reason, FinishReason::kLength);
  EXPECT_EQ(finish.num_output_tokens, 3u);
  EXPECT_FALSE(finish.stop_token_id.has_value());
  EXPECT_TRUE(finish.error.ok());
  EXPECT_EQ(finish.queue_time, absl::Seconds(1));
  EXPECT_EQ(finish.prefill_time, absl::Seconds(3));
  EXPECT_EQ(finish.decode_time, absl::Seconds(4));
  EXPECT_EQ(finish.kept_counts.size(), static_cast<size_t>(spec_->num_kept_lists()));
  EXPECT_EQ(scheduler_->totals().num_steps, 4u);
  EXPECT_EQ(scheduler_->totals().num_prompt_tokens, 11u);
  EXPECT_EQ(scheduler_->totals().num_generated_tokens, 3u);
}

TEST_F(SchedulerTest, SamplingParametersAndLogprobsReachTheRows) {
  Start({.num_slots = 1, .num_pages = 100});
  RequestSpec spec = Spec(3, 2);
  spec.sampling.temperature = 0.5f;
  spec.sampling.top_k = 7;
  spec.sampling.top_p = 0.25f;
  spec.sampling.seed = 99;
  spec.logprobs = 4;
  const Handle a = Add(spec);
  ASSERT_TRUE(Step());
  const LogitsRow& row = batch_.logits_rows.at(0);
  EXPECT_EQ(row.purpose, RowPurpose::kSample);
  EXPECT_EQ(row.sampling.temperature, 0.5f);
  EXPECT_EQ(row.sampling.top_k, 7u);
  EXPECT_EQ(row.sampling.top_p, 0.25f);
  EXPECT_EQ(row.sampling.seed, 99u);
  EXPECT_TRUE(row.want_logprobs);
  EXPECT_EQ(row.num_top, 4u);
  RunToTheEnd();
  ExpectAsAlone(a);
  EXPECT_EQ(a.sink->tokens[1].top.size(), 4u);
  EXPECT_GE(a.sink->tokens[1].rank, 1u);
}

TEST_F(SchedulerTest, PromptLogprobsScoreTheNextTokenAcrossPieces) {
  Start({.num_slots = 1, .num_pages = 100, .max_step_tokens = 4, .prompt_piece = 4});
  RequestSpec spec = Spec(10, 2);
  spec.prompt_logprobs = 3;
  const Handle a = Add(spec);
  ASSERT_TRUE(Step());
  ASSERT_EQ(batch_.logits_rows.size(), 4u);
  EXPECT_EQ(batch_.logits_rows[3].row, 3);
  EXPECT_EQ(batch_.logits_rows[3].score_token, spec.prompt[4]) << "of the next piece";
  EXPECT_EQ(batch_.logits_rows[3].num_top, 3u);
  EXPECT_EQ(a.sink->prompt_logprobs.size(), 4u);
  EXPECT_FALSE(a.sink->prompt_computed);
  ASSERT_TRUE(Step());
  ASSERT_TRUE(Step());  // two tokens: the first is followed by the last, the last samples
  ASSERT_EQ(batch_.logits_rows.size(), 2u);
  EXPECT_EQ(batch_.logits_rows[0].purpose, RowPurpose::kScore);
  EXPECT_EQ(batch_.logits_rows[1].purpose, RowPurpose::kSample);
  RunToTheEnd();
  ExpectAsAlone(a);
  const FakeAnswer answer = model_->Predict(spec);
  ASSERT_EQ(a.sink->prompt_logprobs.size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(a.sink->prompt_logprobs[i].token, spec.prompt[i + 1]);
    EXPECT_EQ(a.sink->prompt_logprobs[i].logprob, answer.prompt_logprobs[i].logprob);
    EXPECT_EQ(a.sink->prompt_logprobs[i].top.size(), 3u);
  }
}

TEST_F(SchedulerTest, PromptOnlyRequestEndsWhenItsPromptIsComputed) {
  Start({.num_slots = 1, .num_pages = 100, .max_step_tokens = 4, .prompt_piece = 4});
  RequestSpec spec = Spec(6, 0);
  const Handle plain = Add(spec);
  ASSERT_TRUE(Step());
  ASSERT_TRUE(Step());
  EXPECT_TRUE(batch_.logits_rows.empty());
  EXPECT_TRUE(plain.sink->prompt_computed);
  ASSERT_TRUE(plain.sink->finish.has_value());
  EXPECT_EQ(plain.sink->finish->reason, FinishReason::kLength);
  EXPECT_EQ(plain.sink->finish->num_output_tokens, 0u);
  spec.prompt_logprobs = 0;
  const Handle scored = Add(spec);
  RunToTheEnd();
  EXPECT_EQ(scored.sink->prompt_logprobs.size(), 5u);
  ExpectAsAlone(scored);
}

TEST_F(SchedulerTest, PromptOfOneToken) {
  Start({.num_slots = 1, .num_pages = 100});
  RequestSpec spec = Spec(1, 1);
  spec.prompt_logprobs = 1;
  const Handle a = Add(spec);
  RunToTheEnd();
  EXPECT_TRUE(a.sink->prompt_logprobs.empty());
  ExpectAsAlone(a);
  EXPECT_EQ(scheduler_->totals().num_steps, 1u);
}

TEST_F(SchedulerTest, StopTokenEndsTheTextAndCounts) {
  Start({.num_slots = 1, .num_pages = 100});
  RequestSpec spec = Spec(5, 100);
  const uint32_t third = model_->Predict(spec).tokens[2].token;
  spec.stop_token_ids = {49, third};
  const Handle a = Add(spec);
  RunToTheEnd();
  ExpectAsAlone(a);
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kStop);
  EXPECT_EQ(a.sink->finish->stop_token_id, a.sink->tokens.back().token);
  EXPECT_LE(a.sink->finish->num_output_tokens, 3u);
}

TEST_F(SchedulerTest, StopTokenAtTheLengthLimitIsAStop) {
  Start({.num_slots = 1, .num_pages = 100});
  RequestSpec spec = Spec(5, 1);
  spec.stop_token_ids = {model_->Predict(spec).tokens[0].token};
  const Handle a = Add(spec);
  RunToTheEnd();
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kStop);
}

TEST_F(SchedulerTest, LongestSequenceEndsWithLength) {
  Start({.num_slots = 1, .num_pages = 100, .max_sequence_tokens = 8});
  const Handle a = Add(Spec(5, 100));
  RunToTheEnd();
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kLength);
  EXPECT_EQ(a.sink->finish->num_output_tokens, 3u);
  const Handle full = Add(Spec(8, 100));
  RunToTheEnd();
  EXPECT_EQ(full.sink->finish->reason, FinishReason::kLength);
  EXPECT_TRUE(full.sink->prompt_computed);
  EXPECT_EQ(full.sink->finish->num_output_tokens, 0u);
}

TEST_F(SchedulerTest, GrowingKindsEndAtTheirTablesSize) {
  Start({.full = true}, {.num_slots = 1, .num_pages = 5}, {}, /*page_tokens=*/4, /*longest=*/18);
  const Handle a = Add(Spec(5, 1000));
  RunToTheEnd();
  EXPECT_EQ(a.sink->finish->num_output_tokens, 13u);
}

// ---- What fits ----

TEST_F(SchedulerTest, CheckFitsNamesValueAndLimit) {
  // Two heads of a ring of 8: 4 pages of 4.
  Start({.window = 8}, {.num_slots = 1, .num_pages = 3, .max_sequence_tokens = 90});
  EXPECT_TRUE(scheduler_->CheckFits(4, 0).ok());
  EXPECT_TRUE(scheduler_->CheckFits(4, 1).ok()) << "the last token is not computed";
  const absl::Status pages = scheduler_->CheckFits(4, 2);
  EXPECT_EQ(pages.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(pages.message(), "prompt of 4 tokens + max_tokens 2 needs 4 pages, the pool has 3");
  const absl::Status length = scheduler_->CheckFits(91, 0);
  EXPECT_EQ(length.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(length.message(), "prompt of 91 tokens is longer than a sequence may be: 90 tokens");
  EXPECT_FALSE(scheduler_->CheckFits(0, 5).ok());
  EXPECT_THAT(std::string(scheduler_->CheckFits(3, -1).message()), HasSubstr("max_tokens is -1"));
}

TEST_F(SchedulerTest, LargestTokenCountsDoNotOverflow) {
  Start({.num_slots = 1, .num_pages = 100});
  EXPECT_TRUE(scheduler_->CheckFits(4294967295, 4294967295).ok()) << "bounded kinds have no limit";
}

TEST_F(SchedulerTest, WhatCanNeverFitIsNotTaken) {
  Start({.window = 8}, {.num_slots = 1, .num_pages = 3});
  Handle a;
  EXPECT_EQ(TryAdd(Spec(20, 5), &a).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(scheduler_->idle());
  scheduler_->Deliver();
  EXPECT_FALSE(a.sink->finish.has_value());
}

TEST_F(SchedulerTest, QueueIsBounded) {
  Start({.num_slots = 1, .num_pages = 100, .max_waiting = 2});
  Add(Spec(3, 9));
  ASSERT_TRUE(Step());
  Add(Spec(4, 1));
  const Handle second = Add(Spec(5, 1));
  EXPECT_EQ(scheduler_->load().waiting, 2);
  EXPECT_EQ(scheduler_->load().waiting_prompt_tokens, 9);
  Handle refused;
  const absl::Status status = TryAdd(Spec(6, 1), &refused);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "2 requests wait already, at most 2 may");
  RunToTheEnd();
  ExpectAsAlone(second);
  EXPECT_FALSE(refused.sink->finish.has_value());
}

TEST_F(SchedulerTest, AdmissionIsByPriorityThenArrivalAndStrict) {
  // Full attention, pages of 4: a request of n tokens reserves ceil(n / 4) pages.
  Start({.full = true}, {.num_slots = 4, .num_pages = 6});
  const Handle running = Add(Spec(8, 9));  // 4 pages
  ASSERT_TRUE(Step());
  EXPECT_EQ(scheduler_->load().pages_reserved, 4);
  EXPECT_EQ(scheduler_->load().pages_used, 2) << "used follows the tokens, reserved the bound";
  const Handle big = Add(Spec(12, 1));   // 3 pages: must wait
  const Handle small = Add(Spec(4, 1));  // 1 page: would fit, but stands behind
  RequestSpec urgent_spec = Spec(4, 9);  // 3 pages, before both
  urgent_spec.priority = 1;
  const Handle urgent = Add(urgent_spec);
  ASSERT_TRUE(Step());
  EXPECT_EQ(scheduler_->load().running, 1);
  EXPECT_EQ(scheduler_->load().waiting, 3);
  while (!running.sink->finish.has_value()) ASSERT_TRUE(Step());
  EXPECT_EQ(small.request->state(), RequestState::kWaiting);
  ASSERT_TRUE(Step());  // urgent and big together have just room
  EXPECT_EQ(urgent.request->state(), RequestState::kRunning);
  EXPECT_NE(big.request->state(), RequestState::kWaiting);
  RunToTheEnd();
  ExpectAsAlone(urgent);
  ExpectAsAlone(big);
  ExpectAsAlone(small);
}

TEST_F(SchedulerTest, SlotsLimitWhoRuns) {
  Start({.num_slots = 2, .num_pages = 100});
  std::vector<Handle> all;
  for (int i = 0; i < 5; ++i) all.push_back(Add(Spec(2 + i, 3)));
  ASSERT_TRUE(Step());
  const LoadStats load = scheduler_->load();
  EXPECT_EQ(load.running, 2);
  EXPECT_EQ(load.slots_used, 2);
  EXPECT_EQ(load.slots_reserved, 2);
  EXPECT_EQ(load.slots_total, 2);
  EXPECT_EQ(load.waiting, 3);
  RunToTheEnd();
  for (const Handle& handle : all) ExpectAsAlone(handle);
}

TEST_F(SchedulerTest, PieceIsLoweredToTheBudget) {
  Start({.num_slots = 1, .num_pages = 100, .max_step_tokens = 3, .prompt_piece = 256});
  EXPECT_EQ(scheduler_->prompt_piece(), 3);
  const Handle a = Add(Spec(7, 1));
  RunToTheEnd();
  EXPECT_EQ(scheduler_->totals().num_steps, 3u);
  ExpectAsAlone(a);
}

TEST_F(SchedulerTest, PagesFollowTheKeptCounts) {
  // Fewer kept each time: pages come back, and the stale entries are cleared (FakeModel CHECKs).
  Start({.window = 4, .buffer = 16}, {.num_slots = 1, .num_pages = 200, .prompt_piece = 64},
        {.fewer_kept_rate = 0.5}, /*page_tokens=*/2);
  const Handle a = Add(Spec(200, 100));
  while (Step()) {
    if (a.request->state() != RequestState::kRunning) continue;
    const Sequence& sequence = a.request->sequences[0];
    int64_t pages = 0;
    for (const PageList& list : spec_->lists()) {
      const int64_t kept =
          list.kind == PageListKind::kKept ? sequence.kept_counts[list.kept_index] : 0;
      const int64_t computed = sequence.num_computed;
      pages += spec_->PagesFor(list, computed, computed, kept);
    }
    EXPECT_EQ(scheduler_->load().pages_used, pages);
  }
  ExpectAsAlone(a);
  ExpectEmpty();
}

}  // namespace
}  // namespace winnow
