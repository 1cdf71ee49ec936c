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
  ASSERT_EQ(request->sequences.size(), 1u);
  const Sequence& sequence = request->sequences[0];
  EXPECT_EQ(sequence.state, SequenceState::kIdle);
  EXPECT_EQ(request->num_known(sequence), 2);
  EXPECT_FALSE(request->prompt_computed(sequence));
  EXPECT_FALSE(request->cancelled());
}

TEST(RequestTest, TokensArePromptAndThenOutput) {
  Request request({.id = "r", .prompt = {7, 8}, .num_choices = 3},
                  std::make_shared<RecordingSink>(3));
  EXPECT_EQ(request.num_live(), 3u);
  Sequence& sequence = request.sequences[2];
  EXPECT_EQ(sequence.choice, 2u);
  sequence.output = {9};
  EXPECT_EQ(request.num_known(sequence), 3);
  EXPECT_EQ(request.token(sequence, 1), 8u);
  EXPECT_EQ(request.token(sequence, 2), 9u);
  sequence.num_computed = 2;
  EXPECT_TRUE(request.prompt_computed(sequence));
  sequence.state = SequenceState::kEnded;
  EXPECT_EQ(request.num_live(), 2u);
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

TEST(RequestDeathTest, PromptChoicesAndSinkAreNeeded) {
  EXPECT_DEATH(
      Request({.id = "r4", .prompt = {1}, .num_choices = 0}, std::make_shared<RecordingSink>()),
      "request r4");
  EXPECT_DEATH(Request({.id = "r2"}, std::make_shared<RecordingSink>()), "request r2");
  EXPECT_DEATH(Request({.id = "r3", .prompt = {1}}, nullptr), "request r3");
}

}  // namespace
}  // namespace winnow
