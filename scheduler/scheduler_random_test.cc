// Storms of random requests through the Scheduler and a FakeModel that distrusts it: random sizes,
// priorities, cancels, deadlines, faults, failed steps, budgets, pieces, page sizes and pools.
// After every call the scheduler's invariants are rebuilt from scratch; the storm checks what is
// promised to the outside.
#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/fake_model.h"
#include "scheduler/testing/recording_sink.h"
#include "scheduler/testing/specs.h"

namespace winnow {
namespace {

struct StormOptions {
  TestLayers layers;
  int64_t page_tokens = 4;
  SchedulerOptions scheduler;
  FakeModelOptions fake;
  int64_t longest = 300;  // tokens of a sequence, at most
  int num_requests = 100;
  double cancel_rate = 0;    // per step: somebody is cancelled
  double deadline_rate = 0;  // of requests
  double choices_rate = 0;   // of requests: they ask for several choices
  uint64_t seed = 0;
};

// Two tokens in a row whose sum modulo 7 is that of `last` end the text.
class PairMatcher : public StopMatcher {
 public:
  explicit PairMatcher(uint32_t last) : sum_(last % 7) {}
  std::optional<std::string> Append(uint32_t token, bool may_stop) override {
    const bool match = may_stop && before_.has_value() && (*before_ + token) % 7 == sum_;
    before_ = token;
    if (match) return "pair";
    return std::nullopt;
  }

 private:
  const uint32_t sum_;
  std::optional<uint32_t> before_;
};

class Storm {
 public:
  explicit Storm(const StormOptions& options)
      : options_(options),
        spec_(MakeTestSpec(options.layers, options.page_tokens, options.longest)),
        model_(spec_, options.scheduler, options.fake),
        scheduler_(spec_, options.scheduler),
        random_(options.seed) {}

  void Run() {
    int submitted = 0;
    while (submitted < options_.num_requests || !scheduler_.idle()) {
      while (submitted < options_.num_requests && Chance(0.4)) {
        Submit();
        ++submitted;
      }
      if (Chance(options_.cancel_rate) && !live_.empty()) {
        live_[random_() % live_.size()].request->Cancel();
      }
      Step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    ExpectEmpty();
  }

  int num_ended() const { return num_ended_; }
  int num_overlapping() const { return num_overlapping_; }  // plans beside a step in flight

 private:
  struct Live {
    std::shared_ptr<Request> request;
    std::shared_ptr<RecordingSink> sink;
    bool was_waiting = true;              // after the last plan
    std::set<uint32_t> step_failed = {};  // choices that were in a step that failed
  };
  struct Planned {
    StepBatch batch;
    absl::Status launched;
    // In it, or copied at its begin.
    std::vector<std::pair<std::shared_ptr<Request>, const Sequence*>> sequences;
  };

  bool Chance(double p) { return std::uniform_real_distribution<double>()(random_) < p; }

  RequestSpec RandomSpec() {
    RequestSpec spec;
    spec.id = std::to_string(next_id_++);
    const int64_t longest = options_.longest;
    // Mostly short ones, and lengths at the edges of pieces. One draw a statement: the order in
    // which an expression draws is the compiler's, and the storms must be the same in every build.
    const uint64_t draw = random_();
    int64_t num_prompt = 1 + draw % (Chance(0.7) ? std::min<int64_t>(longest, 30) : longest);
    if (Chance(0.2)) num_prompt = scheduler_.prompt_piece() * (1 + random_() % 3);
    num_prompt = std::min(num_prompt, longest);
    for (int64_t i = 0; i < num_prompt; ++i) {
      spec.prompt.push_back(random_() % options_.fake.vocab_size);
    }
    const int64_t room = longest - num_prompt;
    spec.max_tokens = static_cast<uint32_t>(random_() % (std::min<int64_t>(room, 60) + 1));
    if (Chance(0.2)) spec.min_tokens = random_() % 20;
    if (Chance(options_.choices_rate)) spec.num_choices = 1 + random_() % 5;
    if (Chance(0.2)) {
      const uint32_t last = random_() % options_.fake.vocab_size;
      spec.make_stop_matcher = [last] { return std::make_unique<PairMatcher>(last); };
    }
    spec.sampling.seed = random_();
    for (int i = random_() % 3; i > 0; --i) {
      spec.stop_token_ids.push_back(random_() % options_.fake.vocab_size);
    }
    if (Chance(0.3)) spec.logprobs = random_() % 4;
    if (Chance(0.3)) spec.prompt_logprobs = random_() % 4;
    spec.priority = static_cast<int32_t>(random_() % 4) - 1;
    spec.arrival = now_;
    if (Chance(options_.deadline_rate)) spec.deadline = now_ + absl::Seconds(random_() % 200);
    return spec;
  }

  void Submit() {
    Live live;
    const RequestSpec spec = RandomSpec();
    live.sink = std::make_shared<RecordingSink>(spec.num_choices);
    live.request = std::make_shared<Request>(spec, live.sink);
    const bool fits =
        scheduler_.CheckFits(live.request->num_prompt(), spec.max_tokens, spec.num_choices).ok();
    const LoadStats load = scheduler_.load();
    const int64_t prompt_tokens = load.waiting_prompt_tokens + live.request->num_prompt();
    const bool full = load.waiting == options_.scheduler.max_waiting ||
                      (load.waiting > 0 && prompt_tokens > options_.scheduler.max_waiting_tokens);
    const absl::Status status = scheduler_.Enqueue(live.request);
    ASSERT_EQ(status.code(), !fits  ? absl::StatusCode::kInvalidArgument
                             : full ? absl::StatusCode::kResourceExhausted
                                    : absl::StatusCode::kOk);
    if (status.ok()) live_.push_back(live);
    scheduler_.CheckInvariants();
  }

  // As the engine's loop has it.
  void Step() {
    now_ += absl::Seconds(1);
    StepBatch batch = scheduler_.Plan(now_);
    scheduler_.CheckInvariants();
    scheduler_.Deliver();
    CollectEnded();
    ASSERT_TRUE(!batch.empty() || !in_flight_.empty() || scheduler_.idle())
        << "nothing planned though something is left";
    const size_t may_stay = Launch(std::move(batch)) ? options_.fake.max_in_flight - 1 : 0;
    while (in_flight_.size() > may_stay) CommitOldest();
  }

  bool Launch(StepBatch batch) {
    if (batch.empty()) return false;
    ++step_;
    num_overlapping_ += !in_flight_.empty();
    CheckPlan(batch);
    Planned step = {.batch = std::move(batch), .launched = {}, .sequences = {}};
    step.launched = model_.Launch(step.batch);
    std::set<int32_t> slots(step.batch.slots.begin(), step.batch.slots.end());
    for (const SlotCopy& copy : step.batch.slot_copies) slots.insert(copy.to);
    for (const Live& live : live_) {
      for (const Sequence& sequence : live.request->sequences) {
        if (sequence.state != SequenceState::kRunning || slots.count(sequence.slot) == 0) continue;
        step.sequences.emplace_back(live.request, &sequence);
      }
    }
    in_flight_.push_back(std::move(step));
    return in_flight_.back().launched.ok();
  }

  void CommitOldest() {
    const Planned step = std::move(in_flight_.front());
    in_flight_.pop_front();
    StepResult result;
    absl::Status status = step.launched;
    if (status.ok()) status = model_.Wait(&result);
    if (!status.ok()) MarkFailed(step);
    using Outcome = absl::StatusOr<StepResult>;
    const Outcome outcome = status.ok() ? Outcome(std::move(result)) : Outcome(status);
    scheduler_.Commit(step.batch, outcome, now_);
    scheduler_.CheckInvariants();
    scheduler_.Deliver();
    CollectEnded();
    model_.forget_batches();
  }

  void CheckPlan(const StepBatch& batch) {
    const std::set<int32_t> served(batch.slots.begin(), batch.slots.end());
    const Request* first_waiting = nullptr;
    for (const Live& live : live_) {
      const Request& r = *live.request;
      ASSERT_FALSE(r.cancelled()) << "cancelled, but still there";
      ASSERT_GT(r.spec().deadline, now_) << "late, but still there";
      if (r.state() == RequestState::kWaiting) {
        if (first_waiting == nullptr || Before(r, *first_waiting)) first_waiting = &r;
      } else {
        for (const Sequence& sequence : r.sequences) {
          if (sequence.state != SequenceState::kRunning) continue;
          CheckTurn(r, sequence, served.count(sequence.slot) == 1);
        }
      }
    }
    for (Live& live : live_) {
      const bool waiting = live.request->state() == RequestState::kWaiting;
      const bool just_admitted = live.was_waiting && !waiting;
      if (just_admitted && first_waiting != nullptr) {
        ASSERT_TRUE(Before(*live.request, *first_waiting)) << "overtook who stands before it";
      }
      live.was_waiting = waiting;
    }
    if (first_waiting != nullptr) {
      const LoadStats load = scheduler_.load();
      const int64_t output = first_waiting->max_output;
      const int64_t num = output > 0 ? first_waiting->spec().num_choices : 1;
      const int64_t prompt = first_waiting->num_prompt();
      const int64_t needs = num * spec_.MaxPages(prompt + std::max<int64_t>(0, output - 1)) -
                            (num - 1) * spec_.FullPages(prompt);
      ASSERT_TRUE(load.slots_reserved + num > load.slots_total ||
                  load.pages_reserved + needs > load.pages_total)
          << "the first in the queue would have fitted";
    }
  }

  static bool Before(const Request& a, const Request& b) {
    const auto key = [](const Request& r) {
      return std::make_pair(r.spec().arrival - r.spec().priority * absl::Seconds(10), r.order);
    };
    return key(a) < key(b);
  }

  // The bounds of turns.h.
  void CheckTurn(const Request& request, const Sequence& sequence, bool served) {
    ASSERT_EQ(served, sequence.last_step == step_);
    const int64_t r = options_.scheduler.num_slots;
    const int64_t half = (options_.scheduler.max_step_tokens + 1) / 2;
    const bool generating = request.prompt_computed(sequence);
    const int64_t bound = generating ? 2 * ((r + half - 1) / half) : 2 * r;
    ASSERT_LT(static_cast<int64_t>(step_ - sequence.last_step), bound)
        << "request " << request.spec().id << " starves";
  }

  void MarkFailed(const Planned& step) {
    for (const auto& [request, sequence] : step.sequences) {
      for (Live& live : live_) {
        if (live.request != request || sequence->state == SequenceState::kEnded) continue;
        live.step_failed.insert(sequence->choice);
        if (live.request->prompt_done.has_value()) continue;
        for (const Sequence& other : live.request->sequences) {
          live.step_failed.insert(other.choice);
        }
      }
    }
  }

  void CollectEnded() {
    for (Live& live : live_) {
      ASSERT_EQ(live.sink->ended(), live.request->state() == RequestState::kFinished);
      for (const uint32_t choice : live.step_failed) {
        ASSERT_TRUE(live.sink->choice(choice).finish.has_value()) << "goes on after a failed step";
      }
      if (live.sink->ended()) CheckAnswer(live);
    }
    live_.erase(std::remove_if(live_.begin(), live_.end(),
                               [](const Live& live) { return live.sink->ended(); }),
                live_.end());
  }

  void CheckAnswer(const Live& live) {
    ++num_ended_;
    for (uint32_t choice = 0; choice < live.sink->num_choices(); ++choice) {
      CheckChoice(live, choice);
    }
    // The prompt is scored in the steps that compute it; a fault hides the last step's scores.
    const FinishReason reason = live.sink->finish->reason;
    const bool whole = reason == FinishReason::kStop || reason == FinishReason::kLength;
    ExpectSame(live.sink->prompt_logprobs, model_.Predict(live.request->spec()).prompt_logprobs,
               whole);
  }

  void CheckChoice(const Live& live, uint32_t choice) {
    const RequestSpec& spec = live.request->spec();
    const RecordedChoice& got = live.sink->choice(choice);
    const FakeAnswer alone = model_.Predict(spec, choice);
    const bool step_failed = live.step_failed.count(choice) == 1;
    bool whole = true;
    switch (got.finish->reason) {
      case FinishReason::kStop:
        ASSERT_NE(got.finish->stop_token_id.has_value(), got.finish->stop_text.has_value());
        ASSERT_EQ(got.finish->stop_token_id.value_or(got.tokens.back().token),
                  got.tokens.back().token);
        ASSERT_GT(got.tokens.size(), spec.min_tokens);
        [[fallthrough]];
      case FinishReason::kLength:
        ASSERT_EQ(got.finish->reason, alone.reason) << spec.id;
        break;
      case FinishReason::kCancelled:
        ASSERT_TRUE(live.request->cancelled());
        whole = false;
        break;
      case FinishReason::kDeadline:
        ASSERT_LE(spec.deadline, now_);
        whole = false;
        break;
      case FinishReason::kError:
        ASSERT_EQ(got.finish->error.code(), absl::StatusCode::kInternal);
        ASSERT_NE(got.finish->error.message().find("request " + spec.id), std::string::npos);
        ASSERT_TRUE(step_failed || alone.reason == FinishReason::kError);
        whole = !step_failed;
        break;
    }
    ExpectSame(got.tokens, alone.tokens, whole);
  }

  static void ExpectSame(const std::vector<OutputToken>& got, const std::vector<OutputToken>& alone,
                         bool whole) {
    ASSERT_LE(got.size(), alone.size());
    ASSERT_TRUE(!whole || got.size() == alone.size()) << got.size() << " of " << alone.size();
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].token, alone[i].token);
      ASSERT_EQ(got[i].logprob, alone[i].logprob);
      ASSERT_EQ(got[i].rank, alone[i].rank);
      ASSERT_EQ(got[i].top.size(), alone[i].top.size());
    }
  }

  void ExpectEmpty() {
    const LoadStats load = scheduler_.load();
    EXPECT_EQ(load.running + load.waiting + load.waiting_prompt_tokens, 0);
    EXPECT_EQ(load.slots_used + load.slots_reserved, 0);
    EXPECT_EQ(load.pages_used + load.pages_reserved, 0);
    EXPECT_TRUE(live_.empty());
  }

  const StormOptions options_;
  const StateSpec spec_;
  FakeModel model_;
  Scheduler scheduler_;
  std::mt19937_64 random_;
  std::vector<Live> live_;
  std::deque<Planned> in_flight_;  // oldest first
  absl::Time now_ = absl::UnixEpoch();
  uint64_t step_ = 0;
  int next_id_ = 0;
  int num_ended_ = 0;
  int num_overlapping_ = 0;
};

StormOptions RandomStorm(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto upto = [&](int64_t n) { return 1 + static_cast<int64_t>(random() % n); };
  StormOptions o;
  o.seed = seed;
  o.layers = {.gated_delta = random() % 2 == 0,
              .window = random() % 3 == 0 ? 0 : upto(20),
              .buffer = random() % 3 == 0 ? 0 : upto(24),
              .full = random() % 3 == 0};
  o.page_tokens = upto(9);
  o.longest = random() % 2 == 0 ? upto(60) : upto(500);
  o.scheduler.num_slots = upto(8);
  o.scheduler.max_step_tokens = random() % 3 == 0 ? upto(4) : upto(600);
  o.scheduler.prompt_piece = random() % 3 == 0 ? upto(8) : upto(256);
  o.scheduler.max_waiting = random() % 2 == 0 ? upto(5) : 1000;
  if (random() % 3 == 0) o.scheduler.max_waiting_tokens = upto(400);
  if (random() % 4 == 0) o.scheduler.max_sequence_tokens = upto(o.longest);
  // From less than some requests need to more than all need together.
  const StateSpec spec = MakeTestSpec(o.layers, o.page_tokens, o.longest);
  o.scheduler.num_pages = random() % (spec.MaxPages(o.longest) * (o.scheduler.num_slots + 1) + 1);
  o.fake.seed = random();
  o.fake.fault_rate = random() % 2 == 0 ? 0 : 0.01;
  o.fake.failed_step_rate = random() % 2 == 0 ? 0 : 0.02;
  o.fake.fewer_kept_rate = random() % 2 == 0 ? 0 : 0.2;
  o.cancel_rate = random() % 2 == 0 ? 0 : 0.1;
  o.deadline_rate = random() % 2 == 0 ? 0 : 0.2;
  o.choices_rate = random() % 3 == 0 ? 0 : 0.4;
  return o;
}

// With steps one after the other, and with one planned beside each.
class SchedulerRandomTest : public ::testing::TestWithParam<int> {};

TEST_P(SchedulerRandomTest, StormsOfRandomRequests) {
  int num_ended = 0, num_overlapping = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    StormOptions options = RandomStorm(seed);
    options.fake.max_in_flight = GetParam();
    Storm storm(options);
    storm.Run();
    if (HasFatalFailure()) return;
    num_ended += storm.num_ended();
    num_overlapping += storm.num_overlapping();
  }
  EXPECT_GT(num_ended, 8000) << "too few requests were taken for this to say much";
  if (GetParam() == 1) {
    EXPECT_EQ(num_overlapping, 0);
  } else {
    EXPECT_GT(num_overlapping, 50'000);
  }
}

// Every small budget with every small piece: nobody starves, all answers are as alone.
TEST_P(SchedulerRandomTest, SmallBudgetsAndPieces) {
  for (int64_t budget = 1; budget <= 7; ++budget) {
    for (int64_t piece = 1; piece <= budget; ++piece) {
      SCOPED_TRACE(testing::Message() << "budget " << budget << ", piece " << piece);
      StormOptions o;
      o.layers = {.window = 5, .buffer = 6};
      o.page_tokens = 3;
      o.longest = 40;
      o.num_requests = 30;
      o.scheduler = {
          .num_slots = 6, .num_pages = 60, .max_step_tokens = budget, .prompt_piece = piece};
      o.seed = 100 * budget + piece;
      o.fake.max_in_flight = GetParam();
      Storm storm(o);
      storm.Run();
      if (HasFatalFailure()) return;
      EXPECT_EQ(storm.num_ended(), 30);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(StepsInFlight, SchedulerRandomTest, ::testing::Values(1, 2));

}  // namespace
}  // namespace winnow
