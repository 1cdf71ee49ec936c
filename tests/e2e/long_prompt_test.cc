// Constant memory: a sequence of 50,000 tokens holds one slot and at most the bounded pages. (That
// its tokens take as long as those of a short one is measured by tests/bench/cpu_model --far.)
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/demo_server.h"

namespace winnow {
namespace {

constexpr int kLong = 50'000;

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

}  // namespace
}  // namespace winnow
