// Clients that cancel, run out of time, or read too slowly: their requests end within a step and
// leave nothing behind.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

constexpr uint32_t kForever = 1'000'000'000;
// As of a real model: what nobody reads for a moment does not overflow its stream.
constexpr absl::Duration kStepTime = absl::Milliseconds(1);

TEST(CancelTest, RunningRequestEndsAndNothingMoreIsComputed) {
  TestServer server;
  server.model().SetStepTime(kStepTime);
  Client client(server.address());
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(40), kForever));
  v1::GenerateResponse message;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(call->Read(&message));
  EXPECT_EQ(client.GetLoad().running(), 1u);
  call->Cancel();
  EXPECT_EQ(call->Finish().code, absl::StatusCode::kCancelled);
  ASSERT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
  const int64_t num_steps = server.model().num_steps();
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(3), 1)).code, absl::StatusCode::kOk);
  EXPECT_EQ(server.model().num_steps(), num_steps + 1);
}

TEST(CancelTest, WaitingRequestLeavesTheQueue) {
  Options options = TestOptions();
  options.max_sequences = 1;
  TestServer server(options);
  server.model().SetStepTime(kStepTime);
  Client client(server.address());
  std::unique_ptr<Call> running = client.Start(IdsRequest(SomePrompt(3), kForever));
  ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().running() == 1; }));
  std::unique_ptr<Call> waiting = client.Start(IdsRequest(SomePrompt(3), 5));
  ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().waiting() == 1; }));
  waiting->Cancel();
  EXPECT_EQ(waiting->Finish().code, absl::StatusCode::kCancelled);
  EXPECT_TRUE(WaitUntil([&] { return client.GetLoad().waiting() == 0; }));
  EXPECT_EQ(client.GetLoad().running(), 1u);
}

// While a step is held, only gRPC's side can act: the call ends at once, its state with the step.
TEST(CancelTest, CallEndsWithoutWaitingForTheStep) {
  TestServer server;
  Client client(server.address());
  LogCapture log;
  server.model().HoldSteps();
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(3), kForever));
  server.model().WaitUntilHeld();
  call->Cancel();
  EXPECT_TRUE(WaitUntil([&] { return log.Count(": CANCELLED") == 1; }));
  EXPECT_EQ(client.GetLoad().running(), 1u);
  server.model().AllowSteps(1);
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
  EXPECT_EQ(server.model().num_steps(), 1);
}

TEST(CancelTest, DeadlineEndsRunningAndWaitingRequests) {
  Options options = TestOptions();
  options.max_sequences = 1;
  TestServer server(options);
  server.model().SetStepTime(kStepTime);
  Client client(server.address());
  std::unique_ptr<Call> running =
      client.Start(IdsRequest(SomePrompt(3), kForever), absl::Milliseconds(300));
  std::unique_ptr<Call> waiting =
      client.Start(IdsRequest(SomePrompt(3), kForever), absl::Milliseconds(100));
  EXPECT_EQ(waiting->Finish().code, absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(running->Finish().code, absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

TEST(CancelTest, SlowReaderIsStoppedAloneAndToldWhy) {
  Options options = TestOptions();
  options.stream_buffer_tokens = 1000;
  TestServer server(options);
  Client slow(server.address()), client(server.address());
  server.model().SetStepTime(absl::Microseconds(20));
  v1::GenerateRequest request = IdsRequest(SomePrompt(3), kForever);
  request.mutable_output()->set_logprobs(20);  // large messages: few of them fill the windows
  std::unique_ptr<Call> call = slow.Start(request);
  // From now on nobody reads: gRPC takes what fits its windows, then the buffer fills.
  v1::GenerateResponse message;
  ASSERT_TRUE(call->Read(&message));
  ASSERT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
  EXPECT_EQ(client.Generate(IdsRequest(SomePrompt(4), 50)).TokenIds(),
            FakeModel::GreedyAnswer(SomePrompt(4), 50));
  const Outcome outcome = call->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kResourceExhausted) << outcome.message;
  EXPECT_EQ(outcome.Get<google::rpc::QuotaFailure>().violations(0).subject(), "stream");
  ASSERT_TRUE(outcome.trailers.contains("grpc-retry-pushback-ms"));
  EXPECT_EQ(outcome.trailers.at("grpc-retry-pushback-ms"), "-1");
  const std::vector<uint32_t> ids = outcome.TokenIds();
  EXPECT_EQ(ids, FakeModel::GreedyAnswer(SomePrompt(3), static_cast<int>(ids.size())))
      << "what was read has no gap";
}

TEST(CancelTest, CallsCancelledAtOnceLeaveNothing) {
  TestServer server;
  server.model().SetStepTime(kStepTime);
  Client client(server.address());
  for (int i = 0; i < 200; ++i) {
    client.Start(TextRequest("The code of the nimble cloud is", kForever))->Cancel();
  }
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

}  // namespace
}  // namespace winnow
