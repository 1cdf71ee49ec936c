// A full queue: refused at once, without headers, so that clients with a retry policy may come
// again.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

using ::testing::IsEmpty;

constexpr char kRetries[] = R"json({"methodConfig": [{
    "name": [{"service": "winnow.v1.GenerationService"}],
    "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.001s", "maxBackoff": "0.01s",
                    "backoffMultiplier": 1.5,
                    "retryableStatusCodes": ["RESOURCE_EXHAUSTED", "UNAVAILABLE"]}}]})json";

// One request runs, held in its first step; one waits; no other may.
class FullQueueTest : public ::testing::Test {
 protected:
  FullQueueTest() : server_(OneEach()), client_(server_.address()) {
    server_.model().HoldSteps();
    running_ = client_.Start(IdsRequest(SomePrompt(5, 1), 5));
    server_.model().WaitUntilHeld();
    waiting_ = client_.Start(IdsRequest(SomePrompt(5, 2), 5));
    EXPECT_TRUE(WaitUntil([this] { return client_.GetLoad().waiting() == 1; }));
  }

  static Options OneEach() {
    Options options = TestOptions();
    options.max_sequences = 1;
    options.max_waiting = 1;
    return options;
  }

  TestServer server_;
  Client client_;
  std::unique_ptr<Call> running_, waiting_;
};

TEST_F(FullQueueTest, OneMoreIsRefusedWithTheTimeToComeBack) {
  const Outcome outcome = client_.Generate(IdsRequest(SomePrompt(5, 3), 5));
  EXPECT_EQ(outcome.code, absl::StatusCode::kResourceExhausted) << outcome;
  EXPECT_EQ(outcome.Get<google::rpc::QuotaFailure>().violations(0).subject(), "queue");
  EXPECT_EQ(outcome.Get<google::rpc::RetryInfo>().retry_delay().seconds(), 1);
  ASSERT_TRUE(outcome.trailers.contains("grpc-retry-pushback-ms"));
  EXPECT_EQ(outcome.trailers.at("grpc-retry-pushback-ms"), "1000");
  EXPECT_THAT(outcome.messages, IsEmpty());
  server_.model().Release();
  EXPECT_EQ(running_->Finish().TokenIds(), FakeModel::GreedyAnswer(SomePrompt(5, 1), 5));
  EXPECT_EQ(waiting_->Finish().TokenIds(), FakeModel::GreedyAnswer(SomePrompt(5, 2), 5));
}

// gRPC retries only calls whose response began with trailers.
TEST_F(FullQueueTest, ClientsRetryOnTheirOwn) {
  LogCapture log;
  Client retrying(server_.address(), kRetries);
  std::unique_ptr<Call> call = retrying.Start(IdsRequest(SomePrompt(5, 3), 5));
  ASSERT_TRUE(WaitUntil([&] { return log.Count(": RESOURCE_EXHAUSTED") == 1; }));
  server_.model().Release();
  const Outcome outcome = call->Finish();
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.TokenIds(), FakeModel::GreedyAnswer(SomePrompt(5, 3), 5));
}

TEST_F(FullQueueTest, LoadTellsWhatRunsAndWaits) {
  const v1::GetLoadResponse load = client_.GetLoad();
  EXPECT_EQ(load.running(), 1u);
  EXPECT_EQ(load.waiting(), 1u);
  EXPECT_EQ(load.waiting_prompt_tokens(), 5u);
  EXPECT_EQ(load.slots_used(), 1u);
  EXPECT_EQ(load.slots_total(), 1u);
  EXPECT_GT(load.pages_reserved(), 0u);
  EXPECT_GE(load.pages_total(), load.pages_reserved());
  EXPECT_FALSE(load.draining());
}

TEST(PriorityTest, HigherGoesFirst) {
  Options options = TestOptions();
  options.max_sequences = 1;
  TestServer server(options);
  Client client(server.address());
  server.model().HoldSteps();
  std::unique_ptr<Call> running = client.Start(IdsRequest(SomePrompt(5, 1), 1));
  server.model().WaitUntilHeld();
  std::vector<std::unique_ptr<Call>> waiting;
  for (const int priority : {-1, 0, 7}) {
    v1::GenerateRequest request = IdsRequest(SomePrompt(5, 2), 1);
    request.set_priority(priority);
    waiting.push_back(client.Start(request));
    const auto expected = static_cast<uint32_t>(waiting.size());
    ASSERT_TRUE(WaitUntil([&] { return client.GetLoad().waiting() == expected; }));
  }
  server.model().Release();
  std::vector<double> queue_seconds;
  for (const auto& call : waiting) {
    const Outcome outcome = call->Finish();
    EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
    queue_seconds.push_back(outcome.Finish().timing().queue_seconds());
  }
  // The later they came, the earlier they went.
  EXPECT_GT(queue_seconds[0], queue_seconds[1]);
  EXPECT_GT(queue_seconds[1], queue_seconds[2]);
}

}  // namespace
}  // namespace winnow
