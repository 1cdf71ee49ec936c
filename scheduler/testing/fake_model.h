// FakeModel: a Model for tests that remembers like a real one and distrusts its scheduler.
//
// It keeps what the device keeps: slots, page tables, and pages whose places hold a tag of the
// token they were written for. Every step CHECKs that
//   - slots that begin a sequence are zeroed, others go on at the very next position;
//   - a sequence appears once, in whole pieces, and the step fits the limits;
//   - every page that the step may write is in the table, and no entry beyond those names a page:
//     as far as the scheduler can know, that is after the last step that was waited for;
//   - a token that the step before draws is asked for only while that one is in flight, and rows
//     say how many tokens of their output are;
//   - all that earlier steps wrote is still there: a page given to two sequences shows up here;
//   - forks copy whole states, no slot or page both from and to, and what forked sequences share
//     stays as it was;
//   - a sequence whose step failed never goes on.
// A sampled token is a function of the sequence's tokens alone, so Predict can say what any request
// must get, whoever its neighbours are. Kept counts are random within what is possible. A step runs
// when it is launched, as if the device were always done at once; its outcome is told in Wait.
//
// One thread, like any Model, but for FailNext.
#ifndef WINNOW_SCHEDULER_TESTING_FAKE_MODEL_H_
#define WINNOW_SCHEDULER_TESTING_FAKE_MODEL_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "model/model.h"
#include "scheduler/request.h"
#include "scheduler/scheduler.h"

namespace winnow {

struct FakeModelOptions {
  uint32_t vocab_size = 50;
  uint64_t seed = 1;
  double fault_rate = 0;        // of sampled rows; a function of the sequence's tokens
  double failed_step_rate = 0;  // INTERNAL from Launch or Wait
  double fewer_kept_rate = 0;   // of kept counts: falls, which no real model does
  int max_in_flight = 1;
  std::function<void()> on_launch = nullptr;  // called at the start of every step
};

// What a request gets if nobody cancels it and no step fails.
struct FakeAnswer {
  std::vector<OutputToken> prompt_logprobs;
  std::vector<OutputToken> tokens;
  FinishReason reason = FinishReason::kLength;
};

class FakeModel : public Model {
 public:
  // The limits are those of the scheduler that it is to serve.
  FakeModel(const StateSpec& spec, const SchedulerOptions& limits, const FakeModelOptions& options);

  const StateSpec& state_spec() const override { return spec_; }
  int max_in_flight() const override { return options_.max_in_flight; }
  absl::Status Launch(const StepBatch& batch) override;
  absl::Status Wait(StepResult* result) override;

  // The next step that is waited for fails with this status. Any thread.
  void FailNextWith(absl::StatusCode code) { fail_next_ = static_cast<int>(code); }

  FakeAnswer Predict(const RequestSpec& spec, uint32_t choice = 0) const;

  const std::vector<StepBatch>& batches() const { return batches_; }  // that were launched
  void forget_batches() { batches_.clear(); }

 private:
  struct Slot {
    bool lost = true;  // nothing begun, or its step failed
    // A number of its own per sequence; a fork has its parent's for what came before it.
    std::map<int64_t, uint64_t> sequence_from;     // by first position
    uint64_t sequence = 0;                         // the last of them
    int64_t num_tokens = 0;                        // computed
    int64_t known_tokens = 0;                      // of them, by steps that were waited for
    std::vector<int32_t> known_kept;               // per kept list, likewise
    uint64_t hash = 0;                             // of them
    std::vector<int32_t> table;                    // page table
    std::vector<int32_t> kept;                     // per kept list
    std::vector<std::vector<uint64_t>> kept_tags;  // per kept list, per kept place
  };

  struct Step {
    StepBatch batch;
    StepResult result;
    std::vector<uint64_t> sequences;  // of the batch's slots
    std::vector<int64_t> num_tokens;  // of them, after the step
    std::vector<uint64_t> copied_to;  // sequences of the forks
  };

  // What the place of list l should hold.
  uint64_t Tag(const Slot& slot, size_t l, int64_t position) const;
  uint64_t& At(const Slot& slot, const PageList& list, int64_t place);

  void CheckShape(const StepBatch& batch) const;
  void CheckTokens(const StepBatch& batch) const;
  void CopyForks(const StepBatch& batch);
  void LoseStep(const Step& step);  // it failed
  void LearnStep(const Step& step);
  void Begin(const StepBatch& batch);
  void CheckSequence(const Slot& slot, int64_t position, int64_t num_tokens) const;
  void CheckTable(const Slot& slot, int64_t after) const;
  void CheckMemory(const Slot& slot);
  void Advance(Slot& slot, const StepBatch& batch, size_t b, StepResult* result);
  void CheckOutput(const LogitsRow& row, const Slot& slot) const;
  void WriteKeys(Slot& slot, int64_t before, int64_t after);
  void WriteKept(Slot& slot, size_t l, int64_t before, int64_t after);
  RowResult Answer(uint64_t hash, const LogitsRow& row) const;

  const StateSpec spec_;
  const SchedulerOptions limits_;
  const FakeModelOptions options_;
  std::mt19937_64 random_;
  std::atomic<int> fail_next_{0};

  std::vector<Slot> slots_;                    // [num_slots + 1]
  std::vector<std::vector<uint64_t>> memory_;  // [num_pages + 1, P] tags
  std::vector<uint32_t> drawn_;                // [num_slots + 1]
  uint64_t num_sequences_ = 0;
  std::deque<Step> in_flight_;  // oldest first
  std::vector<StepBatch> batches_;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_TESTING_FAKE_MODEL_H_
