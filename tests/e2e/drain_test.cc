// The orderly end of a server, step by step; process_test has the same by signal.
#include <future>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::IsEmpty;

constexpr uint32_t kForever = 1'000'000'000;

Options OneSequence() {
  Options options = TestOptions();
  options.max_sequences = 1;
  return options;
}

TEST(DrainTest, QueuedAndNewAreRefusedRunningFinishes) {
  TestServer server(OneSequence());
  Client client(server.address());
  server.model().HoldSteps();
  std::unique_ptr<Call> running = client.Start(IdsRequest(SomePrompt(3), 40));
  server.model().WaitUntilHeld();

  server.server().AnnounceShutdown();
  EXPECT_TRUE(client.GetLoad().draining());
  std::unique_ptr<Call> queued = client.Start(IdsRequest(SomePrompt(3), 5));
  ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().waiting() == 1; })) << "still taken";

  auto drained =
      std::async(std::launch::async, [&] { server.server().Drain(absl::InfiniteFuture()); });
  ASSERT_TRUE(WaitUntil([&] { return server.server().Stats().draining; }));
  const Outcome refused = client.Generate(IdsRequest(SomePrompt(3), 5));
  server.model().AllowSteps(1);
  const Outcome removed = queued->Finish();
  for (const Outcome& outcome : {refused, removed}) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kUnavailable) << outcome;
    EXPECT_EQ(outcome.Get<google::rpc::RetryInfo>().retry_delay().seconds(), 1);
    EXPECT_THAT(outcome.messages, IsEmpty());
  }
  server.model().Release();
  drained.wait();
  server.server().Close(absl::Now() + absl::Seconds(30));
  const Outcome outcome = running->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.TokenIds(), FakeModel::GreedyAnswer(SomePrompt(3), 40));
}

TEST(DrainTest, AtTheDeadlineTheRestIsEnded) {
  TestServer server(OneSequence());
  server.model().SetStepTime(absl::Milliseconds(1));
  Client client(server.address());
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(3), kForever));
  v1::GenerateResponse message;
  ASSERT_TRUE(call->Read(&message));
  auto outcome = std::async(std::launch::async, [&] { return call->Finish(); });
  server.server().Drain(absl::Now() + absl::Milliseconds(20));
  server.server().Close(absl::Now() + absl::Seconds(30));
  const Outcome ended = outcome.get();
  EXPECT_EQ(ended.code, absl::StatusCode::kUnavailable) << ended.message;
  EXPECT_EQ(ended.Finish().reason(), v1::FINISH_REASON_CANCELLED);
}

TEST(DrainTest, SecondDrainCutsTheFirstShort) {
  TestServer server(OneSequence());
  server.model().SetStepTime(absl::Milliseconds(1));
  Client client(server.address());
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(3), kForever));
  v1::GenerateResponse message;
  ASSERT_TRUE(call->Read(&message));
  auto outcome = std::async(std::launch::async, [&] { return call->Finish(); });
  auto drained =
      std::async(std::launch::async, [&] { server.server().Drain(absl::InfiniteFuture()); });
  server.server().Drain(absl::Now());
  drained.wait();
  EXPECT_EQ(outcome.get().code, absl::StatusCode::kUnavailable);
}

// gRPC retries only calls whose response began with trailers.
TEST(DrainTest, QueuedCallsStayRetryable) {
  TestServer server(OneSequence());
  Client client(server.address());
  Client retrying(server.address(), R"json({"methodConfig": [{
      "name": [{"service": "winnow.v1.GenerationService"}],
      "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.01s",
                      "backoffMultiplier": 1.5, "retryableStatusCodes": ["UNAVAILABLE"]}}]})json");
  LogCapture log;
  server.model().HoldSteps();
  std::unique_ptr<Call> running = client.Start(IdsRequest(SomePrompt(3), 5));
  server.model().WaitUntilHeld();
  std::unique_ptr<Call> queued = retrying.Start(IdsRequest(SomePrompt(3), 5));
  ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().waiting() == 1; }));
  auto drained =
      std::async(std::launch::async, [&] { server.server().Drain(absl::InfiniteFuture()); });
  ASSERT_TRUE(WaitUntil([&] { return server.server().Stats().draining; }));
  server.model().Release();
  EXPECT_EQ(queued->Finish().code, absl::StatusCode::kUnavailable);
  drained.wait();
  EXPECT_EQ(log.Count("UNAVAILABLE"), 3) << "the queued attempt and two retries";
}

TEST(DrainTest, DestroyingABusyServerCancelsItsCalls) {
  auto server = std::make_unique<TestServer>();
  server->model().SetStepTime(absl::Milliseconds(1));
  Client client(server->address());
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(3), kForever));
  v1::GenerateResponse message;
  ASSERT_TRUE(call->Read(&message));
  auto outcome = std::async(std::launch::async, [&] { return call->Finish(); });
  server.reset();
  EXPECT_NE(outcome.get().code, absl::StatusCode::kOk);
}

}  // namespace
}  // namespace winnow
