#include "scheduler/scheduler.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/testing/fake_model.h"
#include "scheduler/testing/recording_sink.h"
#include "scheduler/testing/specs.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<uint32_t> Tokens(const std::vector<OutputToken>& tokens) {
  std::vector<uint32_t> ids;
  for (const OutputToken& token : tokens) ids.push_back(token.token);
  return ids;
}

// A scheduler and a fake model, driven by hand.
class SchedulerTest : public ::testing::Test {
 protected:
  void Start(const TestLayers& layers, SchedulerOptions options, FakeModelOptions fake = {},
             int64_t page_tokens = 4, int64_t longest = 4096) {
    spec_.emplace(MakeTestSpec(layers, page_tokens, longest));
    options_ = options;
    model_ = std::make_unique<FakeModel>(*spec_, options, fake);
    scheduler_ = std::make_unique<Scheduler>(*spec_, options);
  }
  void Start(SchedulerOptions options) { Start({.window = 8, .buffer = 12}, options); }

  struct Handle {
    std::shared_ptr<Request> request;
    std::shared_ptr<RecordingSink> sink;
  };

  static RequestSpec Spec(int64_t num_prompt, uint32_t max_tokens) {
    RequestSpec spec;
    spec.id = "r";
    for (int64_t i = 0; i < num_prompt; ++i) spec.prompt.push_back((7 * i + 3) % 50);
    spec.max_tokens = max_tokens;
    return spec;
  }

  absl::Status TryAdd(RequestSpec spec, Handle* handle) {
    handle->sink = std::make_shared<RecordingSink>();
    handle->request = std::make_shared<Request>(std::move(spec), handle->sink);
    return scheduler_->Enqueue(handle->request);
  }
  Handle Add(RequestSpec spec) {
    Handle handle;
    const absl::Status status = TryAdd(std::move(spec), &handle);
    EXPECT_TRUE(status.ok()) << status;
    return handle;
  }

  // One step of the loop; false when the plan was empty.
  bool Step() {
    now_ += absl::Seconds(1);
    batch_ = scheduler_->Plan(now_);
    scheduler_->CheckInvariants();
    if (!batch_.empty()) {
      absl::StatusOr<StepResult> result = RunModel();
      now_ += absl::Seconds(1);
      scheduler_->Commit(batch_, result, now_);
      scheduler_->CheckInvariants();
    }
    scheduler_->Deliver();
    return !batch_.empty();
  }
  void RunToTheEnd() {
    while (Step()) {
    }
    ExpectEmpty();
  }
  absl::StatusOr<StepResult> RunModel() {
    StepResult result;
    absl::Status status = model_->Launch(batch_);
    if (status.ok()) status = model_->Wait(&result);
    if (!status.ok()) return status;
    return result;
  }
  void ExpectEmpty() {
    const LoadStats load = scheduler_->load();
    EXPECT_TRUE(scheduler_->idle());
    EXPECT_EQ(load.running, 0);
    EXPECT_EQ(load.waiting, 0);
    EXPECT_EQ(load.waiting_prompt_tokens, 0);
    EXPECT_EQ(load.slots_used, 0);
    EXPECT_EQ(load.slots_reserved, 0);
    EXPECT_EQ(load.pages_used, 0);
    EXPECT_EQ(load.pages_reserved, 0);
  }
  void ExpectAsAlone(const Handle& handle) {
    const FakeAnswer answer = model_->Predict(handle.request->spec());
    ASSERT_TRUE(handle.sink->finish.has_value());
    EXPECT_EQ(handle.sink->finish->reason, answer.reason);
    EXPECT_EQ(Tokens(handle.sink->tokens), Tokens(answer.tokens));
  }

  std::optional<StateSpec> spec_;
  SchedulerOptions options_;
  std::unique_ptr<FakeModel> model_;
  std::unique_ptr<Scheduler> scheduler_;
  StepBatch batch_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

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
  spec.sampling = {.temperature = 0.5f, .top_k = 7, .top_p = 0.25f, .seed = 99};
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
    int64_t pages = 0;
    for (const PageList& list : spec_->lists()) {
      const int64_t kept =
          list.kind == PageListKind::kKept ? a.request->kept_counts[list.kept_index] : 0;
      const int64_t computed = a.request->num_computed;
      pages += spec_->PagesFor(list, computed, computed, kept);
    }
    EXPECT_EQ(scheduler_->load().pages_used, pages);
  }
  ExpectAsAlone(a);
  ExpectEmpty();
}

// ---- Ends ----

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
    void OnFinish(FinishInfo info) override {
      EXPECT_EQ(scheduler->load().slots_reserved, 0);
      EXPECT_EQ(scheduler->load().pages_reserved, 0);
      RecordingSink::OnFinish(std::move(info));
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
  EXPECT_DEATH(scheduler_->Plan(now_), "was not committed");
  EXPECT_DEATH(scheduler_->FinishAll(FinishReason::kCancelled, {}, now_), "in flight");
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
