// EngineTest: an engine on a fake model, whose loop can be held before each step and wherever it
// asks for the time. A second passes with each step.
#ifndef WINNOW_SCHEDULER_TESTING_ENGINE_FIXTURE_H_
#define WINNOW_SCHEDULER_TESTING_ENGINE_FIXTURE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "gtest/gtest.h"
#include "scheduler/engine.h"
#include "scheduler/testing/fake_model.h"
#include "scheduler/testing/recording_sink.h"
#include "scheduler/testing/specs.h"

namespace winnow {

// Where the engine's loop can be held.
class Gate {
 public:
  void Pass() {
    std::unique_lock<std::mutex> lock(mu_);
    held_ = !open_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_ || may_pass_; });
    held_ = may_pass_ = false;
  }
  void Close() {
    const std::lock_guard<std::mutex> lock(mu_);
    open_ = false;
  }
  void WaitUntilHeld() {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait(lock, [this] { return held_; });
  }
  // Lets the loop, which is held, go on until it is held the next time.
  void PassOne() {
    std::unique_lock<std::mutex> lock(mu_);
    held_ = false;
    may_pass_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return held_; });
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(mu_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool open_ = true;
  bool held_ = false;
  bool may_pass_ = false;  // once
};

class EngineTest : public ::testing::Test {
 protected:
  void Start(SchedulerOptions options, int max_in_flight = 1) {
    spec_.emplace(MakeTestSpec({.window = 8, .buffer = 12}, /*page_tokens=*/4));
    FakeModelOptions fake;
    fake.max_in_flight = max_in_flight;
    fake.on_launch = [this] {
      gate_.Pass();
      seconds_.fetch_add(1);
    };
    model_ = std::make_unique<FakeModel>(*spec_, options, fake);
    EngineOptions engine;
    engine.scheduler = options;
    engine.now = [this] {
      clock_gate_.Pass();
      return Now();
    };
    engine.on_fatal = [this](const absl::Status& status) { fatal_.set_value(status); };
    engine_ = std::make_unique<Engine>(model_.get(), std::move(engine));
  }
  void TearDown() override {
    gate_.Open();
    clock_gate_.Open();
  }

  // A second a step.
  absl::Time Now() const { return absl::FromUnixSeconds(seconds_.load()); }

  struct Handle {
    std::shared_ptr<Request> request;
    std::shared_ptr<RecordingSink> sink;
    absl::Status status;
  };
  static RequestSpec Spec(int64_t num_prompt, uint32_t max_tokens) {
    RequestSpec spec;
    spec.id = "r";
    for (int64_t i = 0; i < num_prompt; ++i) spec.prompt.push_back((5 * i + 1) % 50);
    spec.max_tokens = max_tokens;
    return spec;
  }
  Handle Submit(RequestSpec spec) {
    Handle handle;
    handle.sink = std::make_shared<RecordingSink>();
    handle.request = std::make_shared<Request>(std::move(spec), handle.sink);
    handle.status = engine_->Submit(handle.request);
    return handle;
  }
  FinishReason EndOf(const Handle& handle) {
    EXPECT_TRUE(handle.status.ok()) << handle.status;
    handle.sink->WaitForEnd();
    return handle.sink->finish->reason;
  }
  void ExpectAsAlone(const Handle& handle) {
    const FakeAnswer alone = model_->Predict(handle.request->spec());
    EXPECT_EQ(EndOf(handle), alone.reason);
    ASSERT_EQ(handle.sink->tokens.size(), alone.tokens.size());
    for (size_t i = 0; i < alone.tokens.size(); ++i) {
      EXPECT_EQ(handle.sink->tokens[i].token, alone.tokens[i].token);
    }
  }
  void ExpectNothingLeft() {
    const LoadStats load = engine_->Stats().load;
    EXPECT_EQ(load.running + load.waiting + load.waiting_prompt_tokens, 0);
    EXPECT_EQ(load.slots_used + load.slots_reserved, 0);
    EXPECT_EQ(load.pages_used + load.pages_reserved, 0);
  }

  static constexpr SchedulerOptions kSmall{
      .num_slots = 2, .num_pages = 80, .max_step_tokens = 16, .prompt_piece = 8};

  std::optional<StateSpec> spec_;
  Gate gate_;        // before a step
  Gate clock_gate_;  // wherever the loop asks for the time: between inbox and plan, for example
  std::atomic<int64_t> seconds_{0};
  std::promise<absl::Status> fatal_;
  std::unique_ptr<FakeModel> model_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_TESTING_ENGINE_FIXTURE_H_
