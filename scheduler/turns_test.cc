#include "scheduler/turns.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/testing/recording_sink.h"

namespace winnow {
namespace {

// Requests in the middle of their life, without a scheduler: what Turns reads of them is set here.
class TurnsTest : public ::testing::Test {
 protected:
  std::shared_ptr<Request> Add(int64_t num_prompt, int64_t num_computed, uint64_t last_step = 0) {
    RequestSpec spec;
    spec.id = std::to_string(next_order_);
    spec.prompt.assign(num_prompt, 0);
    auto request = std::make_shared<Request>(spec, std::make_shared<RecordingSink>());
    request->order = next_order_++;
    request->max_output = 1'000'000;
    Sequence& sequence = request->sequences[0];
    sequence.state = SequenceState::kRunning;
    sequence.num_computed = sequence.num_planned = num_computed;
    sequence.output.resize(std::max<int64_t>(0, num_computed + 1 - num_prompt));
    sequence.last_step = last_step;
    running_.push_back(request);
    return request;
  }

  // Tokens per request of the next step, as {order: tokens}.
  std::map<uint64_t, int64_t> Step(Turns& turns) {
    ++step_;
    std::map<uint64_t, int64_t> served;
    for (const Turn& turn : turns.Choose(running_)) {
      const bool once = served.emplace(turn.request->order, turn.num_tokens).second;
      EXPECT_TRUE(once) << "request " << turn.request->order << " twice";
      Sequence& sequence = *turn.sequence;
      sequence.num_computed = sequence.num_planned += turn.num_tokens;
      if (turn.request->prompt_computed(sequence)) sequence.output.push_back(0);
      sequence.last_step = step_;
    }
    return served;
  }

  static bool PromptComputed(const Request& request) {
    return request.prompt_computed(request.sequences[0]);
  }

  using Served = std::map<uint64_t, int64_t>;
  std::vector<std::shared_ptr<Request>> running_;
  uint64_t next_order_ = 0;
  uint64_t step_ = 0;
};

TEST_F(TurnsTest, NobodyRunsNobodyIsServed) {
  Turns turns(8, 4);
  EXPECT_TRUE(turns.Choose(running_).empty());
}

TEST_F(TurnsTest, PromptsAreCutAtAbsoluteMultiples) {
  Turns turns(100, 8);
  Add(21, 0);
  EXPECT_EQ(Step(turns), (Served{{0, 8}}));
  EXPECT_EQ(Step(turns), (Served{{0, 8}}));
  EXPECT_EQ(Step(turns), (Served{{0, 5}}));
  EXPECT_EQ(Step(turns), (Served{{0, 1}}));
  running_.clear();
  Add(16, 11);  // a state loaded in the middle of a piece goes on to the piece's end
  EXPECT_EQ(Step(turns), (Served{{1, 5}}));
}

TEST_F(TurnsTest, ChoicesTakeTurnsLikeRequests) {
  Turns turns(2, 2);
  RequestSpec spec;
  spec.prompt = {1};
  spec.num_choices = 4;
  auto request = std::make_shared<Request>(spec, std::make_shared<RecordingSink>(4));
  for (Sequence& sequence : request->sequences) {
    sequence.state = SequenceState::kRunning;
    sequence.num_computed = sequence.num_planned = 1;
    sequence.output = {5};
  }
  request->max_output = 100;
  request->prompt_done = absl::UnixEpoch();
  request->sequences[2].state = SequenceState::kEnded;
  running_ = {request};
  std::vector<uint32_t> served;
  for (uint64_t step = 1; step <= 3; ++step) {
    for (const Turn& turn : turns.Choose(running_)) {
      turn.sequence->last_step = step;
      served.push_back(turn.sequence->choice);
    }
  }
  EXPECT_EQ(served, (std::vector<uint32_t>{0, 1, 3, 0, 1, 0}));
}

// What is planned and not committed counts as done; what only a commit can tell is waited for.
TEST_F(TurnsTest, GoOnFromWhatIsPlanned) {
  Turns turns(100, 8);
  const auto prompt = Add(21, 8), ends = Add(5, 0), last = Add(5, 5);
  prompt->sequences[0].num_planned = 16;
  ends->sequences[0].num_planned = 5;
  last->sequences[0].num_planned = 6;
  last->max_output = 2;
  EXPECT_EQ(Step(turns), (Served{{0, 5}, {1, 1}})) << "the other's last token is being sampled";
  running_.clear();
  const auto nothing = Add(5, 0);
  nothing->max_output = 0;
  nothing->sequences[0].num_planned = 5;
  EXPECT_TRUE(turns.Choose(running_).empty());
}

TEST_F(TurnsTest, APromptOfSeveralChoicesEndsBeforeTheyGoOn) {
  Turns turns(100, 8);
  RequestSpec spec;
  spec.prompt = {1, 2};
  spec.num_choices = 2;
  auto request = std::make_shared<Request>(spec, std::make_shared<RecordingSink>(2));
  request->max_output = 100;
  Sequence& first = request->sequences[0];
  first.state = SequenceState::kRunning;
  running_ = {request};
  EXPECT_EQ(Step(turns), (Served{{0, 2}}));
  EXPECT_TRUE(turns.Choose(running_).empty());
  request->prompt_done = absl::UnixEpoch();
  EXPECT_EQ(Step(turns), (Served{{0, 1}}));
}

TEST_F(TurnsTest, GeneratingFirstAndPromptsInTheRest) {
  Turns turns(10, 4);
  for (int i = 0; i < 3; ++i) Add(1, 1);
  Add(20, 0);
  Add(20, 0);
  EXPECT_EQ(Step(turns), (Served{{0, 1}, {1, 1}, {2, 1}, {3, 4}}));
  EXPECT_EQ(Step(turns), (Served{{0, 1}, {1, 1}, {2, 1}, {4, 4}})) << "the other prompt's turn";
}

TEST_F(TurnsTest, GeneratingLeaveTheFirstPromptsShareFree) {
  Turns turns(8, 4);
  for (int i = 0; i < 10; ++i) Add(1, 1);
  Add(20, 0);
  EXPECT_EQ(Step(turns), (Served{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {10, 4}}));
  EXPECT_EQ(Step(turns), (Served{{4, 1}, {5, 1}, {6, 1}, {7, 1}, {10, 4}}));
  EXPECT_EQ(Step(turns), (Served{{8, 1}, {9, 1}, {0, 1}, {1, 1}, {10, 4}}));
}

TEST_F(TurnsTest, APieceOfMoreThanHalfTheBudgetComesEverySecondStep) {
  Turns turns(8, 8);
  for (int i = 0; i < 9; ++i) Add(1, 1);
  Add(40, 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Step(turns).size(), 8u);
    EXPECT_EQ(Step(turns), (Served{{9, 8}}));
  }
}

TEST_F(TurnsTest, BudgetOfOneAlternates) {
  Turns turns(1, 1);
  Add(1, 1);
  Add(5, 0);
  EXPECT_EQ(Step(turns), (Served{{0, 1}}));
  EXPECT_EQ(Step(turns), (Served{{1, 1}}));
  EXPECT_EQ(Step(turns), (Served{{0, 1}}));
  EXPECT_EQ(Step(turns), (Served{{1, 1}}));
}

TEST_F(TurnsTest, ASmallPieceMayPassABigOneButNotForEver) {
  Turns turns(10, 8);
  for (int i = 0; i < 5; ++i) Add(1, 1);
  const auto big = Add(80, 0);
  for (int i = 0; i < 4; ++i) Add(2, 0, 1);
  const Served first = Step(turns);
  EXPECT_EQ(first.count(big->order), 0u);
  EXPECT_EQ(first.size(), 5u + 2u) << "two small ones in the five tokens left";
  EXPECT_EQ(Step(turns).at(big->order), 8);
}

TEST_F(TurnsTest, NewcomersQueueUpBehindThoseWhoWait) {
  Turns turns(4, 4);
  const auto old = Add(400, 0);
  for (int i = 0; i < 50; ++i) {
    if (i % 2 == 0) Add(4, 0, step_);  // as large as the whole budget
    Step(turns);
    if (PromptComputed(*running_.back())) running_.pop_back();
  }
  EXPECT_EQ(old->sequences[0].num_computed, 4 * 25) << "each newcomer costs it one step";
}

// The bounds of turns.h, with requests that come, go and change from prompt to generating at
// random.
TEST_F(TurnsTest, EverybodyIsServedWithinTheBound) {
  std::mt19937 random(20260105);
  for (int round = 0; round < 60; ++round) {
    const int64_t budget = 1 + random() % (round % 2 == 0 ? 12 : 300);
    const int64_t piece = 1 + random() % budget;
    const size_t most = 1 + random() % 24;
    Turns turns(budget, piece);
    running_.clear();
    step_ = 0;
    const uint64_t half = (budget + 1) / 2;
    const uint64_t generating_bound = 2 * ((most + half - 1) / half);
    const uint64_t prompt_bound = 2 * most;
    for (int i = 0; i < 400; ++i) {
      while (running_.size() < most && random() % 3 != 0) {
        Add(1 + random() % (4 * piece), 0, step_);
      }
      const Served served = Step(turns);
      ASSERT_EQ(served.empty(), running_.empty());
      int64_t sum = 0;
      for (const auto& [order, tokens] : served) sum += tokens;
      ASSERT_LE(sum, budget);
      for (const auto& request : running_) {
        const uint64_t waited = step_ - request->sequences[0].last_step;
        ASSERT_LT(waited, PromptComputed(*request) ? generating_bound : prompt_bound)
            << "budget " << budget << ", piece " << piece << ", " << most << " running";
      }
      running_.erase(std::remove_if(running_.begin(), running_.end(),
                                    [&](const auto&) { return random() % 30 == 0; }),
                     running_.end());
    }
  }
}

}  // namespace
}  // namespace winnow
