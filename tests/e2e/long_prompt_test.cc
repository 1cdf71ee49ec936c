// Constant memory, constant time: a sequence of 50,000 tokens holds what one of 2,000 holds, and
// its next token takes as long.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/demo_server.h"

namespace winnow {
namespace {

constexpr int kShort = 2'000;
constexpr int kLong = 50'000;
constexpr int kTokens = 400;

TEST(LongPromptTest, HoldsOneSlotAndBoundedPages) {
  DemoServer server;
  Client client(server.address());
  v1::GetModelInfoResponse info;
  ASSERT_EQ(client.GetModelInfo({}, &info).code, absl::StatusCode::kOk);
  ASSERT_TRUE(info.has_max_pages_per_sequence());

  std::atomic<bool> done = false;
  uint64_t most_slots = 0, most_pages = 0, most_reserved = 0;
  std::thread watch([&] {
    Client watcher(server.address());
    while (!done) {
      const v1::GetLoadResponse load = watcher.GetLoad();
      most_slots = std::max(most_slots, load.slots_used());
      most_pages = std::max(most_pages, load.pages_used());
      most_reserved = std::max(most_reserved, load.pages_reserved());
      absl::SleepFor(absl::Milliseconds(2));  // leaves the cores to the model
    }
  });
  const Outcome outcome = client.Generate(IdsRequest(SomePrompt(kLong), 5));
  done = true;
  watch.join();
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(most_slots, 1u);
  EXPECT_GT(most_pages, 0u);
  EXPECT_LE(most_pages, info.max_pages_per_sequence());
  EXPECT_LE(most_reserved, info.max_pages_per_sequence());
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

// Time between two tokens after a prompt of this length, seconds: the lower quartile, since
// whatever else the machine does makes some of them longer.
double TokenSeconds(Client& client, int prompt_tokens) {
  std::unique_ptr<Call> call = client.Start(IdsRequest(SomePrompt(prompt_tokens), kTokens));
  std::vector<double> gaps;
  v1::GenerateResponse message;
  absl::Time last = absl::InfinitePast();
  while (call->Read(&message)) {
    if (!message.has_delta()) continue;
    const absl::Time now = absl::Now();
    if (last != absl::InfinitePast()) {
      gaps.push_back(absl::ToDoubleSeconds(now - last) / message.delta().num_tokens());
    }
    last = now;
  }
  EXPECT_EQ(call->Finish().code, absl::StatusCode::kOk);
  EXPECT_GT(gaps.size(), 10u);
  std::sort(gaps.begin(), gaps.end());
  return gaps[gaps.size() / 4];
}

TEST(LongPromptTest, TokensTakeAsLongAsAfterAShortPrompt) {
  DemoServer server;
  Client client(server.address());
  double after_short = 1e9, after_long = 1e9;
  for (int round = 0; round < 3; ++round) {
    after_short = std::min(after_short, TokenSeconds(client, kShort));
    after_long = std::min(after_long, TokenSeconds(client, kLong));
  }
  RecordProperty("microseconds_after_2000", static_cast<int>(after_short * 1e6));
  RecordProperty("microseconds_after_50000", static_cast<int>(after_long * 1e6));
  EXPECT_LT(after_long, 1.1 * after_short)
      << after_long * 1e6 << " us after " << kLong << " tokens, " << after_short * 1e6
      << " us after " << kShort;
}

}  // namespace
}  // namespace winnow
