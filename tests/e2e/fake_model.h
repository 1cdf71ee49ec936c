// FakeModel: a deterministic Model without tensors, for tests of the server around the real engine.
//
// Its state is one hash per slot, over all tokens that the sequence has computed. The next token is
// a function of that hash (and, for a temperature above 0, of the seed), so the same request gets
// the same answer whatever runs beside it, and a sequence that were mixed up with another would
// not. It never draws one of the first `kNumSpecial` ids. A head keeps all tokens that have left
// its window while there is room.
//
// Steps can be held: HoldSteps() lets none end until Release(); AllowSteps(n) lets n more end.
#ifndef WINNOW_TESTS_E2E_FAKE_MODEL_H_
#define WINNOW_TESTS_E2E_FAKE_MODEL_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "model/config.h"
#include "model/model.h"

namespace winnow {

class FakeModel final : public Model {
 public:
  static constexpr uint32_t kNumSpecial = 3;
  static constexpr uint32_t kVocabSize = 1024;

  // A gated delta net, a window of 16 with 8 kept tokens for each of 2 heads, and another gated
  // delta net.
  static ModelConfig Config();

  explicit FakeModel(const StateSpec& spec) : spec_(spec) {}

  // What a greedy request for `num` tokens gets.
  static std::vector<uint32_t> GreedyAnswer(absl::Span<const uint32_t> prompt, int num);

  // Thread-safe.
  void HoldSteps();
  void AllowSteps(int n);
  void Release();
  // Returns once a step is being held.
  void WaitUntilHeld();
  // Steps take at least this long; at first they take no time.
  void SetStepTime(absl::Duration time);
  // The next step that computes anything fails like this, once.
  void FailNextStep(absl::Status status);
  // Rows whose sequence contains this token are faulty from then on.
  void PoisonToken(uint32_t token);
  int64_t num_steps() const;
  int64_t max_sequences_in_a_step() const;

  // Model.
  const StateSpec& state_spec() const override { return spec_; }
  absl::Status Launch(const StepBatch& batch) override;
  absl::Status Wait(StepResult* result) override;

 private:
  struct Sequence {
    uint64_t hash = 0;
    int64_t num_computed = 0;
    bool poisoned = false;
  };

  absl::Status Pass();  // waits while steps are held
  void RunSequence(int64_t b, StepResult* result);
  RowResult Answer(const LogitsRow& row, uint64_t hash, bool poisoned) const;

  const StateSpec spec_;
  StepBatch batch_;
  std::unordered_map<int32_t, Sequence> slots_;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  bool holding_ = false;  // guarded by mu_, as is all that follows
  int permits_ = 0;
  bool held_ = false;
  absl::Duration step_time_;
  std::optional<absl::Status> failure_;
  std::optional<uint32_t> poison_;
  int64_t num_steps_ = 0;
  int64_t max_sequences_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_FAKE_MODEL_H_
