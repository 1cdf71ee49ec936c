// Scheduler: decides what each step computes. Single-threaded, no locks, no clock of its own, never
// sees a tensor.
//
//   Enqueue(request) ...                 from the engine's inbox
//   batch = Plan(now)                    ends, admits, provides pages, fills the step; may be empty
//   Commit(batch, result, now)           advances, finishes, returns resources
//   Deliver()                            tells the sinks of those that ended
//
// One step may be in flight, that is planned and not committed, when the next one is planned: Plan
// (n + 1) before Commit(n). Every step is committed, in the order of the plans.
//
// Rules.
// - Admission: by priority and age (waiting_queue.h), strictly in that order: the first that does
//   not fit waits and so do all behind it. Admission reserves a slot for each choice, and the upper
//   bound of pages for what can be computed of prompt + max_tokens in all of them, so an admitted
//   request always gets its pages and is never thrown out. Whatever was enqueued fits into empty
//   pools: while anything waits, something runs, and an empty plan means that nothing is left but
//   what a step in flight has to decide.
// - There is no prefill phase and no decode phase: a sequence has known tokens and computed tokens,
//   and a step computes some of the difference. The last token that a sequence may have is sampled
//   but never computed.
// - A step holds at most max_step_tokens tokens. Prompts are cut at absolute multiples of
//   prompt_piece; a step takes one whole piece of a sequence or none of it. So each token's
//   arithmetic depends on its own sequence and position alone. Who is served when: turns.h.
// - Choices: the first computes the prompt. The step that ends it samples the first token of every
//   choice, Commit forks the others from it, and the next plan begins with the copies. Until then
//   the first choice stands still: such a request misses the one plan that overlaps its prompt's
//   end.
// - A choice ends in Commit (stop token, stop string, length, error) or, cancelled or late, at the
//   start of the next Plan; in one private function, Finish, which is the only place where
//   resources return.
// - Overlap: a plan takes for granted that the step in flight goes well and that what it samples
//   ends nothing, except where it must (max_tokens). Its tokens are inputs by name (DrawnToken),
//   its pages are for the worst case of both steps. If a sequence has ended when its row of the
//   later step is committed, the row is discarded: nothing of it is delivered or counted.
// - Reuse: a slot or page that returns may be given away at once, even if a step in flight still
//   writes to it for a sequence that has ended. Who gets it uses it first in a step planned later;
//   steps run in the order of their plans, and a slot is zeroed or copied to, a page written before
//   it is read.
#ifndef WINNOW_SCHEDULER_SCHEDULER_H_
#define WINNOW_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "model/state_spec.h"
#include "model/step.h"
#include "scheduler/page_pool.h"
#include "scheduler/request.h"
#include "scheduler/slot_pool.h"
#include "scheduler/turns.h"
#include "scheduler/waiting_queue.h"
#include "scheduler/work_stats.h"

namespace winnow {

struct SchedulerOptions {
  int64_t num_slots = 0;  // usable ones, scratch excluded; >= 1
  int64_t num_pages = 0;
  int64_t max_step_tokens = 512;  // >= 1
  int64_t prompt_piece = 256;     // >= 1; lowered to max_step_tokens
  int64_t max_waiting = 1024;     // requests; >= 1
  // Prompt tokens that wait at most, all requests together; a single request may always wait.
  int64_t max_waiting_tokens = int64_t{1} << 40;
  absl::Duration priority_ageing = absl::Seconds(10);  // waiting_queue.h
  // Longest sequence, prompt and output together: a request ends with kLength there. None: only
  // what StateSpec::max_sequence_tokens says of growing kinds.
  std::optional<int64_t> max_sequence_tokens = std::nullopt;
};

// What the pools and queues hold now: integers for GetLoad and metrics.
struct LoadStats {
  int64_t running = 0, waiting = 0, waiting_prompt_tokens = 0;
  int64_t slots_used = 0, slots_reserved = 0, slots_total = 0;
  // used: pages that hold something; reserved: the sum of the upper bounds of what was admitted.
  int64_t pages_used = 0, pages_reserved = 0, pages_total = 0;
};

// What was done since the start.
struct WorkTotals {
  uint64_t num_steps = 0;             // committed, failed ones included
  uint64_t num_prompt_tokens = 0;     // computed
  uint64_t num_generated_tokens = 0;  // sampled
};

// Whether one more request of so many prompt tokens may wait: RESOURCE_EXHAUSTED with the limit if
// not. Pure.
absl::Status CheckQueueRoom(const SchedulerOptions& options, int64_t waiting,
                            int64_t waiting_prompt_tokens, int64_t num_prompt_tokens);

class Scheduler {
 public:
  // `spec` is copied. REQUIRES: options in range.
  Scheduler(const StateSpec& spec, const SchedulerOptions& options);

  // Whether a request of this size can ever be served: INVALID_ARGUMENT with value and limit if
  // not. Thread-safe (const data only).
  absl::Status CheckFits(int64_t num_prompt_tokens, int64_t max_tokens,
                         int64_t num_choices = 1) const;

  // Takes a waiting request in. RESOURCE_EXHAUSTED when it fails CheckQueueRoom, INVALID_ARGUMENT
  // when it fails CheckFits: then it is not taken and its sink not called.
  absl::Status Enqueue(std::shared_ptr<Request> request);

  // Ends what is cancelled or late, admits, and plans the next step. Empty when nothing can be
  // computed before the step in flight is committed; when none is, nothing is left. REQUIRES: at
  // most one step is in flight, and no step failed to launch without having been committed.
  StepBatch Plan(absl::Time now);

  // Takes in the outcome of the oldest step in flight. An error means that the step failed: its
  // sequences end with kError. Calls the sinks, but for OnFinish. REQUIRES: `batch` is that step's
  // plan; there was a plan since the last Commit of a good step, unless this one failed.
  void Commit(const StepBatch& batch, const absl::StatusOr<StepResult>& result, absl::Time now);

  // Calls OnFinish of what ended since the last call. Apart from Plan and Commit so that the engine
  // can publish its load in between: whoever sees a request end finds its resources returned.
  void Deliver();

  // Ends every request with the given reason (waiting ones only, or all).
  void FinishWaiting(FinishReason reason, const absl::Status& error, absl::Time now);
  void FinishAll(FinishReason reason, const absl::Status& error, absl::Time now);

  // Nothing waits, runs or is in flight.
  bool idle() const { return waiting_.empty() && running_.empty() && in_flight_.empty(); }
  LoadStats load() const;
  const WorkTotals& totals() const { return totals_; }
  WorkCounts work() const { return stats_.Read(); }  // thread-safe
  int64_t prompt_piece() const { return turns_.prompt_piece(); }

  // Rebuilds every invariant from scratch and CHECKs it; for tests. Valid between any two calls.
  void CheckInvariants() const;

 private:
  // What the model said about one sequence of a step.
  struct SequenceResult {
    absl::Span<const LogitsRow> asked;
    absl::Span<const RowResult> rows;  // parallel to asked
    absl::Span<const int32_t> kept_counts;

    bool fault() const;
  };
  // A choice that goes on from another's state, once the copies are made.
  struct Fork {
    std::shared_ptr<Request> request;
    Sequence* sequence = nullptr;
    SlotCopy slot_copy;
    std::vector<PageCopy> page_copies;
    std::vector<PageTableEdit> page_edits;
  };
  // A planned step.
  struct Step {
    std::vector<Turn> turns;  // in the order of the batch's sequences; some may have ended since
    std::vector<Fork> forks;  // whose copies it begins with
  };
  struct Ended {
    std::shared_ptr<Request> request;
    uint32_t choice = 0;
    FinishInfo info;
  };

  int64_t MaxOutput(int64_t num_prompt_tokens, int64_t max_tokens) const;
  // Of `num_live` choices together.
  int64_t MaxPages(int64_t num_prompt_tokens, int64_t max_output, int64_t num_live) const;
  static int64_t MaxSlots(int64_t max_output, int64_t num_live);

  // Plan.
  void FinishEnded(absl::Time now);
  void Admit(absl::Time now);
  bool TakeResources(Request& request);
  std::vector<Fork> TakeForks();
  static void AddFork(const Fork& fork, StepBatch* batch);
  void AddTurn(const Turn& turn, StepBatch* batch);
  static void AddLogitsRows(const Turn& turn, int64_t position, StepBatch* batch);
  static LogitsRow ScoreRow(const Request& request, int64_t position);
  static LogitsRow SampleRow(const Request& request, const Sequence& sequence, int64_t position);

  // Commit.
  void TakeIn(const Step& step, const StepBatch& batch, const StepResult& result, absl::Time now);
  std::vector<SequenceResult> Split(const StepBatch& batch, const StepResult& result) const;
  void Advance(const Turn& turn, const SequenceResult& result);
  void ForkChoices(Request& request);
  void DeliverRows(const Turn& turn, const SequenceResult& result, absl::Time now);
  void AppendToken(Request& request, Sequence& sequence, const RowResult& row, absl::Time now);
  void FailStep(const Step& step, const absl::Status& error, absl::Time now);

  // The end of a choice, or of all choices that have not ended.
  void Finish(Request& request, Sequence& sequence, FinishInfo info, absl::Time now);
  void FinishRequest(Request& request, const FinishInfo& info, absl::Time now);
  void FailSequence(Request& request, Sequence& sequence, const absl::Status& error,
                    absl::Time now);
  void RemoveFinished();  // from running_

  void CheckRunning(const Request& request) const;
  void CheckSequence(const Request& request, const Sequence& sequence) const;
  // Adds the references to each page; returns how many pages the request holds.
  int64_t CheckPages(const Request& request, std::vector<int32_t>* references) const;

  const StateSpec spec_;
  const SchedulerOptions options_;
  const std::optional<int64_t> max_sequence_tokens_;  // the least of options and spec

  SlotPool slots_;
  PagePool pages_;
  Turns turns_;
  WaitingQueue waiting_;
  std::vector<std::shared_ptr<Request>> running_;
  std::deque<Step> in_flight_;  // planned, not committed, oldest first
  std::vector<Fork> forks_;     // made by the last Commit, for the next plan
  std::vector<Ended> ended_;    // for Deliver
  uint64_t next_order_ = 0;
  uint64_t num_planned_steps_ = 0;
  WorkTotals totals_;
  WorkStats stats_;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_SCHEDULER_H_
