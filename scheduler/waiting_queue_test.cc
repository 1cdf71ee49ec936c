#include "scheduler/waiting_queue.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/testing/recording_sink.h"

namespace winnow {
namespace {

std::shared_ptr<Request> MakeRequest(int32_t priority, uint64_t order, size_t num_prompt = 1) {
  RequestSpec spec;
  spec.id = std::to_string(order);
  spec.prompt.assign(num_prompt, 0);
  spec.priority = priority;
  auto request = std::make_shared<Request>(spec, std::make_shared<RecordingSink>());
  request->order = order;
  return request;
}

TEST(WaitingQueueTest, HigherPriorityFirstThenArrival) {
  WaitingQueue queue(absl::Seconds(10));
  queue.Push(MakeRequest(0, 1, 10));
  queue.Push(MakeRequest(5, 2, 20));
  queue.Push(MakeRequest(0, 3));
  queue.Push(MakeRequest(5, 4));
  queue.Push(MakeRequest(-2147483647 - 1, 5));
  EXPECT_EQ(queue.num_prompt_tokens(), 33);
  std::vector<uint64_t> order;
  while (!queue.empty()) order.push_back(queue.PopFirst()->order);
  EXPECT_EQ(order, (std::vector<uint64_t>{2, 4, 1, 3, 5}));
  EXPECT_EQ(queue.num_prompt_tokens(), 0);
}

TEST(WaitingQueueTest, RandomOperationsAgreeWithASortedList) {
  WaitingQueue queue(absl::Seconds(10));
  std::vector<std::shared_ptr<Request>> naive;
  std::mt19937 random(20260103);
  const auto before = [](const auto& a, const auto& b) {
    if (a->spec().priority != b->spec().priority) return a->spec().priority > b->spec().priority;
    return a->order < b->order;
  };
  for (uint64_t i = 0; i < 10000; ++i) {
    const uint32_t what = random() % 10;
    if (what < 5) {
      naive.push_back(MakeRequest(static_cast<int32_t>(random() % 5) - 2, i, 1 + random() % 7));
      queue.Push(naive.back());
      std::stable_sort(naive.begin(), naive.end(), before);
    } else if (what < 9 && !naive.empty()) {
      ASSERT_EQ(queue.first(), naive.front());
      ASSERT_EQ(queue.PopFirst(), naive.front());
      naive.erase(naive.begin());
    } else {
      const uint64_t divisor = 2 + random() % 7;
      const auto chosen = [&](const Request& r) { return r.order % divisor == 0; };
      std::vector<std::shared_ptr<Request>> expected, rest;
      for (const auto& r : naive) (chosen(*r) ? expected : rest).push_back(r);
      ASSERT_EQ(queue.RemoveIf(chosen), expected);
      naive = rest;
    }
    int64_t num_prompt_tokens = 0;
    for (const auto& r : naive) num_prompt_tokens += r->num_prompt();
    ASSERT_EQ(queue.num_prompt_tokens(), num_prompt_tokens);
    ASSERT_EQ(queue.size(), static_cast<int64_t>(naive.size()));
    queue.CheckInvariants();
  }
}

}  // namespace
}  // namespace winnow
