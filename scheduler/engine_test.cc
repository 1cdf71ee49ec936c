#include "scheduler/engine.h"

#include <atomic>
#include <future>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/testing/engine_fixture.h"

namespace winnow {
namespace {

TEST_F(EngineTest, StartsAndEndsWithoutWork) {
  Start(kSmall);
  ExpectNothingLeft();
  EXPECT_EQ(engine_->Stats().load.slots_total, 2);
  EXPECT_EQ(engine_->Stats().load.pages_total, 80);
}

TEST_F(EngineTest, AnswersARequestAndCountsIt) {
  Start(kSmall);
  const Handle a = Submit(Spec(20, 5));
  ExpectAsAlone(a);
  const EngineStats stats = engine_->Stats();
  EXPECT_EQ(stats.num_prompt_tokens, 20u);
  EXPECT_EQ(stats.num_generated_tokens, 5u);
  EXPECT_EQ(stats.num_steps, 3u + 4u);
  EXPECT_EQ(stats.work.step_tokens.sum, 20 + 4);
  EXPECT_EQ(stats.work.finished[static_cast<size_t>(FinishReason::kLength)], 1u);
  EXPECT_FALSE(stats.draining);
  ExpectAsAlone(Submit(Spec(3, 1)));  // after having been idle
  ExpectNothingLeft();
}

TEST_F(EngineTest, WhoeverHearsTheEndFindsTheResourcesReturned) {
  Start(kSmall);
  struct Sink : RecordingSink {
    void OnFinish(uint32_t choice, FinishInfo info) override {
      load = engine->Stats().load;
      RecordingSink::OnFinish(choice, std::move(info));
    }
    Engine* engine;
    LoadStats load;
  };
  for (int i = 0; i < 20; ++i) {
    auto sink = std::make_shared<Sink>();
    sink->engine = engine_.get();
    auto request = std::make_shared<Request>(Spec(9, 1 + i), sink);
    ASSERT_TRUE(engine_->Submit(request).ok());
    if (i % 2 == 1) engine_->Cancel(*request);
    sink->WaitForEnd();
    EXPECT_EQ(sink->load.slots_reserved + sink->load.pages_reserved + sink->load.running, 0);
  }
}

TEST_F(EngineTest, RefusesWhatCanNeverFit) {
  SchedulerOptions options = kSmall;
  options.num_pages = 3;
  Start(options);
  EXPECT_EQ(engine_->CheckFits(100, 5).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Submit(Spec(100, 5)).status, engine_->CheckFits(100, 5));
}

TEST_F(EngineTest, FullQueueIsDecidedInSubmit) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  options.max_waiting = 3;
  Start(options);
  gate_.Close();
  const Handle running = Submit(Spec(3, 4));
  gate_.WaitUntilHeld();  // admitted; the loop sees nothing of what follows
  std::vector<Handle> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(Submit(Spec(4, 2)));
  for (const Handle& handle : waiting) EXPECT_TRUE(handle.status.ok());
  const Handle refused = Submit(Spec(4, 2));
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.status.message(), "3 requests wait already, at most 3 may");
  const LoadStats load = engine_->Stats().load;
  EXPECT_EQ(load.running, 1);
  EXPECT_EQ(load.waiting, 3);
  EXPECT_EQ(load.waiting_prompt_tokens, 12);
  gate_.Open();
  ExpectAsAlone(running);
  for (const Handle& handle : waiting) ExpectAsAlone(handle);
  EXPECT_FALSE(refused.sink->finish.has_value());
}

TEST_F(EngineTest, RequestsBetweenInboxAndPlanAreWaiting) {
  SchedulerOptions options = kSmall;
  options.max_waiting = 1;
  Start(options);
  clock_gate_.Close();
  const Handle a = Submit(Spec(3, 2));
  clock_gate_.WaitUntilHeld();
  EXPECT_EQ(engine_->Stats().load.waiting, 1);
  EXPECT_EQ(engine_->Stats().load.waiting_prompt_tokens, 3);
  EXPECT_EQ(Submit(Spec(3, 2)).status.code(), absl::StatusCode::kResourceExhausted);
  clock_gate_.Open();
  ExpectAsAlone(a);
}

TEST_F(EngineTest, CancelReachesWaitingAndRunningRequests) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  Start(options);
  gate_.Close();
  const Handle running = Submit(Spec(3, 100000));
  gate_.WaitUntilHeld();
  const Handle waiting = Submit(Spec(3, 2));
  const Handle other = Submit(Spec(3, 2));
  engine_->Cancel(*waiting.request);
  engine_->Cancel(*running.request);
  gate_.Open();
  EXPECT_EQ(EndOf(running), FinishReason::kCancelled);
  EXPECT_EQ(running.sink->tokens.size(), 1u) << "the step in flight, and no other";
  EXPECT_EQ(EndOf(waiting), FinishReason::kCancelled);
  ExpectAsAlone(other);
  ExpectNothingLeft();
}

TEST_F(EngineTest, CancelOnAnIdleEngineChangesNothing) {
  Start(kSmall);
  const Handle a = Submit(Spec(3, 2));
  ExpectAsAlone(a);
  engine_->Cancel(*a.request);
  ExpectAsAlone(Submit(Spec(4, 2)));
  ExpectAsAlone(a);
}

TEST_F(EngineTest, CancelledBeforeItIsSubmitted) {
  Start(kSmall);
  auto sink = std::make_shared<RecordingSink>();
  auto request = std::make_shared<Request>(Spec(3, 2), sink);
  engine_->Cancel(*request);
  ASSERT_TRUE(engine_->Submit(request).ok());
  sink->WaitForEnd();
  EXPECT_EQ(sink->finish->reason, FinishReason::kCancelled);
  EXPECT_FALSE(sink->prompt_computed);
}

TEST_F(EngineTest, DeadlinesEndWaitingAndRunningRequests) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  Start(options);
  RequestSpec spec = Spec(3, 100000);
  spec.deadline = absl::FromUnixSeconds(30);
  const Handle running = Submit(spec);
  spec.deadline = absl::FromUnixSeconds(20);
  const Handle waiting = Submit(spec);
  EXPECT_EQ(EndOf(waiting), FinishReason::kDeadline);
  EXPECT_FALSE(waiting.sink->prompt_computed);
  EXPECT_EQ(EndOf(running), FinishReason::kDeadline);
  EXPECT_EQ(running.sink->tokens.size(), 30u) << "a second a step";
  spec.deadline = absl::FromUnixSeconds(1);  // late when it comes, and the engine idle
  EXPECT_EQ(EndOf(Submit(spec)), FinishReason::kDeadline);
  ExpectNothingLeft();
}

TEST_F(EngineTest, FailedStepEndsItsSequencesAndTheEngineGoesOn) {
  Start(kSmall);
  gate_.Close();
  const Handle a = Submit(Spec(3, 50));
  gate_.WaitUntilHeld();
  model_->FailNextWith(absl::StatusCode::kInternal);
  gate_.Open();
  EXPECT_EQ(EndOf(a), FinishReason::kError);
  EXPECT_EQ(a.sink->finish->error.code(), absl::StatusCode::kInternal);
  ExpectAsAlone(Submit(Spec(3, 5)));
}

TEST_F(EngineTest, DrainFinishesWhatRunsAndEndsWhatWaits) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  Start(options);
  gate_.Close();
  const Handle running = Submit(Spec(3, 40));
  gate_.WaitUntilHeld();
  const Handle waiting = Submit(Spec(3, 2));
  std::future<void> drained =
      std::async(std::launch::async, [&] { engine_->Drain(absl::InfiniteFuture()); });
  while (!engine_->Stats().draining) std::this_thread::yield();
  EXPECT_EQ(Submit(Spec(3, 2)).status.code(), absl::StatusCode::kUnavailable);
  gate_.Open();
  drained.get();
  ASSERT_TRUE(running.sink->finish.has_value()) << "Drain returns when every sink was told";
  ASSERT_TRUE(waiting.sink->finish.has_value());
  ExpectAsAlone(running);
  EXPECT_EQ(EndOf(waiting), FinishReason::kError);
  EXPECT_EQ(waiting.sink->finish->error.code(), absl::StatusCode::kUnavailable);
  ExpectNothingLeft();
  engine_->Drain(absl::InfinitePast());  // again: nothing is left
  EXPECT_EQ(Submit(Spec(3, 2)).status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, DrainWaitsForAStepThatWokeAnIdleEngine) {
  Start(kSmall);
  gate_.Close();
  const Handle a = Submit(Spec(3, 3000));
  gate_.WaitUntilHeld();
  std::future<void> drained =
      std::async(std::launch::async, [&] { engine_->Drain(absl::InfiniteFuture()); });
  while (!engine_->Stats().draining) std::this_thread::yield();
  gate_.Open();
  drained.get();
  ASSERT_TRUE(a.sink->finish.has_value());
  ExpectAsAlone(a);
}

TEST_F(EngineTest, DrainOfAnIdleEngineReturnsAtOnce) {
  Start(kSmall);
  engine_->Drain(absl::InfiniteFuture());
  EXPECT_TRUE(engine_->Stats().draining);
}

TEST_F(EngineTest, DrainEndsTheRestAtItsDeadline) {
  Start(kSmall);
  gate_.Close();
  const Handle a = Submit(Spec(3, 1000000));
  gate_.WaitUntilHeld();  // no time passes before the drain begins
  std::future<void> drained =
      std::async(std::launch::async, [&] { engine_->Drain(absl::FromUnixSeconds(25)); });
  while (!engine_->Stats().draining) std::this_thread::yield();
  gate_.Open();
  drained.get();
  ASSERT_TRUE(a.sink->finish.has_value());
  EXPECT_EQ(a.sink->finish->reason, FinishReason::kCancelled);
  EXPECT_EQ(a.sink->tokens.size(), 25u) << "a second a step";
  ExpectNothingLeft();
}

TEST_F(EngineTest, DestructorEndsEverything) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  Start(options);
  gate_.Close();
  const Handle running = Submit(Spec(3, 1000000));
  gate_.WaitUntilHeld();
  const Handle waiting = Submit(Spec(3, 2));
  gate_.Open();
  engine_.reset();
  EXPECT_EQ(EndOf(running), FinishReason::kCancelled);
  EXPECT_EQ(EndOf(waiting), FinishReason::kCancelled);
}

TEST_F(EngineTest, LostDeviceEndsEverythingAndTheEngine) {
  SchedulerOptions options = kSmall;
  options.num_slots = 1;
  Start(options);
  gate_.Close();
  const Handle running = Submit(Spec(3, 50));
  gate_.WaitUntilHeld();
  const Handle waiting = Submit(Spec(3, 2));
  model_->FailNextWith(absl::StatusCode::kDataLoss);
  gate_.Open();
  EXPECT_EQ(fatal_.get_future().get().code(), absl::StatusCode::kDataLoss);
  for (const Handle& handle : {running, waiting}) {
    ASSERT_TRUE(handle.sink->finish.has_value()) << "all are answered before on_fatal";
    EXPECT_EQ(EndOf(handle), FinishReason::kError);
    EXPECT_EQ(handle.sink->finish->error.code(), absl::StatusCode::kInternal);
  }
  EXPECT_EQ(Submit(Spec(3, 2)).status.code(), absl::StatusCode::kUnavailable);
  ExpectNothingLeft();
  engine_->Drain(absl::InfiniteFuture());  // returns
}

TEST_F(EngineTest, ASinkMaySubmitTheNextRequest) {
  Start(kSmall);
  struct Chain : RecordingSink {
    void OnFinish(uint32_t choice, FinishInfo info) override {
      if (left > 0) {
        auto next = std::make_shared<Chain>();
        next->engine = engine;
        next->left = left - 1;
        next->done = done;
        EXPECT_TRUE(engine->Submit(std::make_shared<Request>(Spec(3, 2), next)).ok());
      } else {
        done->set_value();
      }
      RecordingSink::OnFinish(choice, std::move(info));
    }
    Engine* engine;
    int left;
    std::promise<void>* done;
  };
  std::promise<void> done;
  auto first = std::make_shared<Chain>();
  first->engine = engine_.get();
  first->left = 10;
  first->done = &done;
  ASSERT_TRUE(engine_->Submit(std::make_shared<Request>(Spec(3, 2), first)).ok());
  done.get_future().wait();
}

// 200 requests from several threads, half of them cancelled at random moments, some with deadlines,
// some refused by a full queue and tried again; Stats is read all the time. With steps one after
// the other, and with one planned beside each.
class EngineStormTest : public EngineTest, public ::testing::WithParamInterface<int> {};

TEST_P(EngineStormTest, OfConcurrentRequests) {
  SchedulerOptions options{.num_slots = 6,
                           .num_pages = 100,
                           .max_step_tokens = 24,
                           .prompt_piece = 8,
                           .max_waiting = 120};
  Start(options, /*max_in_flight=*/GetParam());
  constexpr int kThreads = 4, kPerThread = 50;
  std::atomic<int> answered{0};
  std::atomic<bool> over{false};
  const auto client = [&](int thread) {
    std::mt19937 random(1000 + thread);
    std::vector<Handle> handles;
    const auto submit = [&](const RequestSpec& spec) {
      Handle handle = Submit(spec);
      while (!handle.status.ok()) {
        EXPECT_EQ(handle.status.code(), absl::StatusCode::kResourceExhausted);
        std::this_thread::yield();
        handle = Submit(spec);
      }
      return handle;
    };
    for (int i = 0; i < kPerThread; ++i) {
      RequestSpec spec = Spec(1 + random() % 60, random() % 40);
      spec.priority = static_cast<int32_t>(random() % 3);
      if (random() % 8 == 0) spec.deadline = Now() + absl::Seconds(random() % 60);
      handles.push_back(submit(spec));
      if (random() % 2 == 0) engine_->Cancel(*handles[random() % handles.size()].request);
      if (random() % 8 == 0) handles[random() % handles.size()].sink->WaitForEnd();
    }
    for (const Handle& handle : handles) {
      handle.sink->WaitForEnd();
      ++answered;
      const FakeAnswer alone = model_->Predict(handle.request->spec());
      const FinishReason reason = handle.sink->finish->reason;
      if (reason == FinishReason::kLength || reason == FinishReason::kStop) {
        EXPECT_EQ(handle.sink->tokens.size(), alone.tokens.size());
      } else {
        EXPECT_TRUE(reason == FinishReason::kCancelled || reason == FinishReason::kDeadline);
      }
      for (size_t i = 0; i < handle.sink->tokens.size(); ++i) {
        EXPECT_EQ(handle.sink->tokens[i].token, alone.tokens[i].token);
      }
    }
  };
  std::thread watcher([&] {
    while (!over.load()) {
      const LoadStats load = engine_->Stats().load;
      EXPECT_LE(load.slots_used, load.slots_reserved);
      EXPECT_LE(load.slots_reserved, load.slots_total);
      EXPECT_LE(load.pages_used, load.pages_reserved);
      EXPECT_LE(load.pages_reserved, load.pages_total);
      EXPECT_LE(load.waiting, options.max_waiting);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> clients;
  for (int i = 0; i < kThreads; ++i) clients.emplace_back(client, i);
  for (std::thread& thread : clients) thread.join();
  over.store(true);
  watcher.join();
  EXPECT_EQ(answered.load(), kThreads * kPerThread);
  ExpectNothingLeft();
}

INSTANTIATE_TEST_SUITE_P(StepsInFlight, EngineStormTest, ::testing::Values(1, 2));

}  // namespace
}  // namespace winnow
