// SchedulerTest: a scheduler and a fake model, driven by hand, step by step. One second passes
// before each plan and one during each step.
#ifndef WINNOW_SCHEDULER_TESTING_SCHEDULER_FIXTURE_H_
#define WINNOW_SCHEDULER_TESTING_SCHEDULER_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/fake_model.h"
#include "scheduler/testing/recording_sink.h"
#include "scheduler/testing/specs.h"

namespace winnow {

inline std::vector<uint32_t> Tokens(const std::vector<OutputToken>& tokens) {
  std::vector<uint32_t> ids;
  for (const OutputToken& token : tokens) ids.push_back(token.token);
  return ids;
}

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
    handle->sink = std::make_shared<RecordingSink>(spec.num_choices);
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
    ASSERT_TRUE(handle.sink->ended());
    for (uint32_t c = 0; c < handle.sink->num_choices(); ++c) {
      const FakeAnswer answer = model_->Predict(handle.request->spec(), c);
      EXPECT_EQ(handle.sink->choice(c).finish->reason, answer.reason) << "choice " << c;
      EXPECT_EQ(Tokens(handle.sink->choice(c).tokens), Tokens(answer.tokens)) << "choice " << c;
    }
  }

  std::optional<StateSpec> spec_;
  SchedulerOptions options_;
  std::unique_ptr<FakeModel> model_;
  std::unique_ptr<Scheduler> scheduler_;
  StepBatch batch_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_TESTING_SCHEDULER_FIXTURE_H_
