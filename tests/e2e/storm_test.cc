// Many requests at once that end in every possible way: afterwards nothing is held, and those that
// were answered were answered as if alone.
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

constexpr int kRequests = 200;

struct Plan {
  std::vector<uint32_t> prompt;
  uint32_t max_tokens = 0;
  int read_before_cancel = -1;  // messages; -1: never cancelled
  absl::Duration timeout = absl::InfiniteDuration();
};

Plan Draw(std::mt19937_64& random) {
  Plan plan;
  plan.prompt = SomePrompt(1 + static_cast<int>(random() % 900), random());
  plan.max_tokens = static_cast<uint32_t>(random() % 300);
  if (random() % 2 == 0) {
    plan.read_before_cancel = static_cast<int>(random() % 20);
    plan.max_tokens = 1'000'000'000;
  } else if (random() % 5 == 0) {
    plan.timeout = absl::Milliseconds(1 + static_cast<int>(random() % 50));
    plan.max_tokens = 1'000'000'000;
  }
  return plan;
}

void Perform(Client& client, const Plan& plan, std::atomic<int>* num_answered) {
  std::unique_ptr<Call> call = client.Start(IdsRequest(plan.prompt, plan.max_tokens), plan.timeout);
  if (plan.read_before_cancel >= 0) {
    v1::GenerateResponse message;
    for (int i = 0; i < plan.read_before_cancel; ++i) {
      if (!call->Read(&message)) break;
    }
    call->Cancel();
  }
  const Outcome outcome = call->Finish();
  if (plan.read_before_cancel >= 0) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kCancelled) << outcome.message;
  } else if (plan.timeout != absl::InfiniteDuration()) {
    EXPECT_EQ(outcome.code, absl::StatusCode::kDeadlineExceeded) << outcome.message;
  } else {
    EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome.message;
    EXPECT_EQ(outcome.TokenIds(),
              FakeModel::GreedyAnswer(plan.prompt, static_cast<int>(plan.max_tokens)));
    ++*num_answered;
  }
}

TEST(StormTest, NothingIsLeftAndAnswersAreRight) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  Options options = TestOptions();
  options.max_sequences = 24;
  TestServer server(options);
  server.model().SetStepTime(absl::Microseconds(200));
  Client client(server.address());
  std::vector<Plan> plans(kRequests);
  for (Plan& plan : plans) plan = Draw(random);
  std::atomic<int> num_answered{0};
  std::vector<std::thread> threads;
  for (const Plan& plan : plans) {
    threads.emplace_back([&, plan] { Perform(client, plan, &num_answered); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }))
      << client.GetLoad().ShortDebugString();
  EXPECT_GT(num_answered, kRequests / 5);
  EXPECT_GT(server.model().max_sequences_in_a_step(), 8) << "they ran together";
}

}  // namespace
}  // namespace winnow
