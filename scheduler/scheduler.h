// Scheduler: decides what each step computes. Single-threaded, no locks, no clock of its own, never
// sees a tensor.
//
//   Enqueue(request) ...                       from the engine's inbox
//   batch = Plan(now)                          admits, provides pages, fills the step; may be empty
//   Commit(batch, result, now)                 advances, finishes, returns resources
//
// Rules.
// - Admission: by priority, then arrival, strictly in that order: the first that does not fit waits
// and so do all behind it. Admission
//   takes a slot and reserves the upper bound of pages for prompt + max_tokens, so an admitted
//   request always gets its pages and is never thrown out.
// - There is no prefill phase and no decode phase: a request has num_known tokens and num_computed
// tokens, and a step computes some
//   of the difference.
// - A step holds at most max_step_tokens tokens. Prompts are cut at absolute multiples of
// prompt_piece; a step takes one whole
//   piece of a sequence or none of it. So each token's arithmetic depends on its own sequence and
//   position alone.
// - Generating sequences take turns, longest-waiting first, up to the budget less what is kept free
// for prompts: the first prompt's next
//   piece, in every step if that is at most half of the budget, else in every second step.
// - Commit is the only place where resources return; cancel, deadline and error pass through it (or
// through Finish of a waiting request).
#ifndef WINNOW_SCHEDULER_SCHEDULER_H_
#define WINNOW_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "model/state_spec.h"
#include "model/step.h"
#include "scheduler/page_pool.h"
#include "scheduler/request.h"
#include "scheduler/slot_pool.h"

namespace winnow {

struct SchedulerOptions {
  int64_t num_slots = 0;  // usable ones, scratch excluded
  int64_t num_pages = 0;
  int64_t max_step_tokens = 512;  // >= 1
  int64_t prompt_piece = 256;     // >= 1; lowered to max_step_tokens
  int64_t max_waiting = 1024;     // requests
};

// What the pools and queues hold now: integers for GetLoad and metrics.
struct LoadStats {
  int64_t running = 0, waiting = 0, waiting_prompt_tokens = 0;
  int64_t slots_used = 0, slots_reserved = 0, slots_total = 0;
  int64_t pages_used = 0, pages_reserved = 0, pages_total = 0;
};

// Internals are the implementer's to choose; the public interface is what the engine and the tests
// use.
class Scheduler {
 public:
  Scheduler(const StateSpec& spec, const SchedulerOptions& options);
  ~Scheduler();

  // Whether a request of this size can ever be served: INVALID_ARGUMENT with value and limit if
  // not. Thread-safe (const data only).
  absl::Status CheckFits(int64_t num_prompt_tokens, int64_t max_tokens) const;

  // Takes a waiting request in. RESOURCE_EXHAUSTED when max_waiting requests wait already (the
  // request is not taken and its sink not called).
  absl::Status Enqueue(std::shared_ptr<Request> request);

  // Ends waiting requests that are cancelled or late, admits, and plans the next step. REQUIRES:
  // the last plan was committed or was empty.
  StepBatch Plan(absl::Time now);

  // Takes in the outcome of the planned step; `status` not OK: the step failed and its sequences
  // end with kError.
  void Commit(const StepBatch& batch, const absl::StatusOr<StepResult>& result, absl::Time now);

  // Ends every request with the given reason (waiting ones only, or all).
  void FinishWaiting(FinishReason reason, const absl::Status& error, absl::Time now);
  void FinishAll(FinishReason reason, const absl::Status& error, absl::Time now);

  bool idle() const;  // nothing waiting, nothing running
  LoadStats load() const;
  // Rebuilds every invariant from scratch and CHECKs it; for tests.
  void CheckInvariants() const;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_SCHEDULER_H_
