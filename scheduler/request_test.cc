#include "scheduler/request.h"

#include <memory>

#include "gtest/gtest.h"
#include "scheduler/testing/recording_sink.h"

namespace winnow {
namespace {

std::unique_ptr<Request> MakeRequest() {
  return std::make_unique<Request>(RequestSpec{.id = "r1", .prompt = {3, 4}},
                                   std::make_shared<RecordingSink>());
}

// Brings a fresh request into `state` by legal edges.
std::unique_ptr<Request> InState(RequestState state) {
  auto request = MakeRequest();
  if (state != RequestState::kWaiting) request->Transition(RequestState::kWaiting, state);
  return request;
}

TEST(RequestTest, StartsWaitingWithItsPromptKnownAndNothingComputed) {
  const auto request = MakeRequest();
  EXPECT_EQ(request->state(), RequestState::kWaiting);
  EXPECT_EQ(request->tokens, request->spec().prompt);
  EXPECT_EQ(request->num_known(), 2);
  EXPECT_EQ(request->num_output(), 0u);
  EXPECT_FALSE(request->prompt_computed());
  EXPECT_FALSE(request->cancelled());
}

TEST(RequestTest, CancelIsOnlyAFlag) {
  const auto request = MakeRequest();
  request->Cancel();
  request->Cancel();
  EXPECT_TRUE(request->cancelled());
  EXPECT_EQ(request->state(), RequestState::kWaiting);
}

TEST(RequestDeathTest, EveryEdgeIsLegalOrCaught) {
  using S = RequestState;
  const auto legal = [](S from, S to) {
    return (from == S::kWaiting && to != S::kWaiting) ||
           (from == S::kRunning && to == S::kFinished);
  };
  for (const S from : {S::kWaiting, S::kRunning, S::kFinished}) {
    for (const S to : {S::kWaiting, S::kRunning, S::kFinished}) {
      const auto request = InState(from);
      if (legal(from, to)) {
        request->Transition(from, to);
        EXPECT_EQ(request->state(), to);
      } else {
        EXPECT_DEATH(request->Transition(from, to), "request r1");
      }
    }
  }
}

TEST(RequestDeathTest, TransitionNamesTheStateItIsIn) {
  const auto request = MakeRequest();
  EXPECT_DEATH(request->Transition(RequestState::kRunning, RequestState::kFinished),
               "request r1 is in state 0, not 1");
}

TEST(RequestDeathTest, PromptAndSinkAreNeeded) {
  EXPECT_DEATH(Request({.id = "r2"}, std::make_shared<RecordingSink>()), "request r2");
  EXPECT_DEATH(Request({.id = "r3", .prompt = {1}}, nullptr), "request r3");
}

}  // namespace
}  // namespace winnow
