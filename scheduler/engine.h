// Engine: the one loop thread between the service and the model.
//
//   loop: DrainInbox; batch = Plan(now); Launch(batch); Wait(result); Commit(batch, result)
//
// Submit, Cancel wake-ups, Stats and Drain may be called from any thread; sinks are called on the
// loop thread. A step error of code DATA_LOSS means that the device is gone: every request is
// answered with kError, and the loop ends after calling `on_fatal`. Any other step error fails the
// step's sequences alone.
#ifndef WINNOW_SCHEDULER_ENGINE_H_
#define WINNOW_SCHEDULER_ENGINE_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "model/model.h"
#include "scheduler/request.h"
#include "scheduler/scheduler.h"

namespace winnow {

struct EngineOptions {
  SchedulerOptions scheduler;
  std::function<absl::Time()> now = absl::Now;  // tests give a fake clock
  std::function<void(const absl::Status&)> on_fatal;
};

struct EngineStats {
  LoadStats load;
  bool draining = false;
  uint64_t num_steps = 0;
  uint64_t num_prompt_tokens = 0;     // computed
  uint64_t num_generated_tokens = 0;  // sampled
};

class Engine {
 public:
  // `model` must outlive the engine. The loop starts at once.
  Engine(Model* model, EngineOptions options);
  ~Engine();  // ends all requests with kCancelled and joins the loop

  // See Scheduler::CheckFits.
  absl::Status CheckFits(int64_t num_prompt_tokens, int64_t max_tokens) const;

  // Takes the request in, or refuses it without calling its sink: RESOURCE_EXHAUSTED (queue full),
  // UNAVAILABLE (draining or ended).
  absl::Status Submit(std::shared_ptr<Request> request);

  // Cancels a request and wakes the loop.
  void Cancel(Request& request);

  // From now on refuses new requests, ends waiting ones with kError UNAVAILABLE, finishes what
  // runs; at `deadline` ends the rest with kCancelled. Returns when nothing is left.
  void Drain(absl::Time deadline);

  EngineStats Stats() const;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_ENGINE_H_
