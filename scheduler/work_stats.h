// WorkStats: what the scheduler has done since its start, in counts and histograms. WorkCounts: the
// same as plain numbers, for EngineStats.
//
// The scheduler tells it of each event, on the engine's thread; any thread may Read, and neither
// waits for the other. Counts are up to date before a sink hears of what is counted. Memory is
// fixed: it depends on the number of layers that keep tokens.
#ifndef WINNOW_SCHEDULER_WORK_STATS_H_
#define WINNOW_SCHEDULER_WORK_STATS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <vector>

#include "absl/time/time.h"
#include "model/state_spec.h"
#include "model/step.h"
#include "scheduler/histogram.h"
#include "scheduler/request.h"

namespace winnow {

inline constexpr size_t kNumFinishReasons = 5;  // of FinishReason

struct WorkCounts {
  // Requests that ended, by FinishReason: of several choices the one that ended last says it.
  std::array<uint64_t, kNumFinishReasons> finished = {};
  uint64_t turned_away = 0;  // while they waited, with UNAVAILABLE; counted nowhere else
  uint64_t failed_steps = 0;

  // Of all requests that `finished` counts.
  HistogramCounts request_seconds;  // arrival to end
  HistogramCounts prompt_tokens;
  HistogramCounts generated_tokens;  // of all choices
  // Of those that got so far.
  HistogramCounts queue_seconds;        // arrival to admission
  HistogramCounts prefill_seconds;      // admission to the prompt's end
  HistogramCounts first_token_seconds;  // arrival to the first token
  HistogramCounts decode_seconds;       // first token to end
  // Of every choice's tokens but its first: since the one before.
  HistogramCounts inter_token_seconds;

  // Of every step. Time: from its plan, or the end of the step before if that came later, to its
  // end; so the sum is the time that the engine was busy.
  HistogramCounts step_seconds, step_tokens, step_sequences;

  // What each head had kept when a sequence ended, all heads of a layer together.
  struct KeptTokens {
    int layer = 0;
    HistogramCounts tokens;
  };
  std::vector<KeptTokens> kept_tokens;  // layers with learned eviction, ascending
};

class WorkStats {
 public:
  explicit WorkStats(const StateSpec& spec);

  // Of each step that is not empty; several may be planned before the first of them ends.
  void StepPlanned(absl::Time now);
  void StepEnded(const StepBatch& batch, bool ok, absl::Time now);

  void Admitted(const Request& request);        // REQUIRES: `admitted` is set
  void PromptComputed(const Request& request);  // REQUIRES: `prompt_done` is set
  void TokenSampled(Sequence& sequence, absl::Time now);
  // A choice; the last one that ends is the request's end.
  void ChoiceEnded(const Request& request, const FinishInfo& info, absl::Time now);

  WorkCounts Read() const;

 private:
  void RequestEnded(const Request& request, FinishReason reason, absl::Time now);

  struct KeptLayer {
    explicit KeptLayer(int layer);
    int layer;
    Histogram tokens;
  };

  std::array<std::atomic<uint64_t>, kNumFinishReasons> finished_{};
  std::atomic<uint64_t> turned_away_{0}, failed_steps_{0};
  Histogram request_seconds_, prompt_tokens_, generated_tokens_;
  Histogram queue_seconds_, prefill_seconds_, first_token_seconds_, decode_seconds_;
  Histogram inter_token_seconds_;
  Histogram step_seconds_, step_tokens_, step_sequences_;
  std::deque<KeptLayer> kept_layers_;           // histograms cannot be moved
  std::vector<Histogram*> kept_by_kept_index_;  // [kept lists], into kept_layers_

  // The writer's.
  std::deque<absl::Time> planned_;  // steps that have not ended, oldest first
  absl::Time last_step_end_ = absl::InfinitePast();
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_WORK_STATS_H_
