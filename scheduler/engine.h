// Engine: the one loop thread between the service and the model.
//
//   loop: take new requests in; batch = Plan(now); Launch(batch); Wait(result);
//         Commit(batch, result); Deliver
//
// With a model that runs beside its caller (Model::max_in_flight), Wait and Commit are for the step
// before the one just launched: step n + 1 is planned, and step n delivered, while a step runs. A
// new request then begins one step later; tokens, cancels and deadlines are as soon as ever.
//
//   Engine engine(&model, {.scheduler = {.num_slots = 64, .num_pages = 10000}});
//   absl::Status status = engine.Submit(std::make_shared<Request>(spec, sink));
//
// All functions may be called from any thread; sinks and on_fatal are called on the loop thread,
// and may call Submit, Cancel and Stats. The loop sleeps while nothing waits and nothing runs; else
// it steps, and between two steps it sees cancels, deadlines and a drain. (While anything waits,
// something runs, so nobody's deadline needs a wake-up of its own.)
//
// A step error of code DATA_LOSS means that the device is gone: every request is answered with
// kError, and the loop ends after calling on_fatal. Any other step error fails the step's sequences
// alone.
#ifndef WINNOW_SCHEDULER_ENGINE_H_
#define WINNOW_SCHEDULER_ENGINE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/model.h"
#include "scheduler/published.h"
#include "scheduler/request.h"
#include "scheduler/scheduler.h"

namespace winnow {

struct EngineOptions {
  SchedulerOptions scheduler;
  std::function<absl::Time()> now = absl::Now;  // called on the loop thread; tests give a fake
  // Every request has been answered by then. Must not destroy the engine.
  std::function<void(const absl::Status&)> on_fatal = nullptr;
};

struct EngineStats {
  LoadStats load;
  bool draining = false;
  uint64_t num_steps = 0;             // failed ones included
  uint64_t num_prompt_tokens = 0;     // computed
  uint64_t num_generated_tokens = 0;  // sampled
  WorkCounts work;                    // may be ahead of the numbers above by what a step does
};

class Engine {
 public:
  // `model` must outlive the engine. The loop starts at once.
  Engine(Model* model, EngineOptions options);
  ~Engine();  // ends all requests with kCancelled and joins the loop
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // See Scheduler::CheckFits.
  absl::Status CheckFits(int64_t num_prompt_tokens, int64_t max_tokens,
                         int64_t num_choices = 1) const {
    return scheduler_.CheckFits(num_prompt_tokens, max_tokens, num_choices);
  }

  // Takes the request in, or refuses it without calling its sink: INVALID_ARGUMENT (fails
  // CheckFits), RESOURCE_EXHAUSTED (fails CheckQueueRoom), UNAVAILABLE (draining or ended). Decided
  // before it returns.
  absl::Status Submit(std::shared_ptr<Request> request);

  // Ends a request within one step with kCancelled, unless it has ended by itself. The sink hears
  // of it as of every end.
  void Cancel(Request& request) { request.Cancel(); }

  // From now on refuses new requests, ends waiting ones with kError UNAVAILABLE, finishes what
  // runs; at `deadline` (by EngineOptions::now) ends the rest with kCancelled, within one step.
  // Returns when nothing is left and every sink was told. Called again: the earliest deadline
  // counts. Not from the loop thread.
  void Drain(absl::Time deadline);

  // How things stood when the last step was planned or committed, new requests included. A request
  // whose OnFinish was called holds nothing in it, and is counted. Takes no lock: the loop never
  // waits for it.
  EngineStats Stats() const;

 private:
  struct Step {
    StepBatch batch;
    absl::Status launched;
  };
  struct Progress {
    LoadStats load;
    WorkTotals totals;
    uint64_t draining = 0;  // a whole word, as Published wants it
  };

  void Loop();
  // Sleeps while there is nothing to do, then moves the inbox into the scheduler and carries out
  // Drain. False: the engine is being destroyed.
  bool TakeOrders();
  std::vector<std::shared_ptr<Request>> TakeInbox() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EnqueueAll(std::vector<std::shared_ptr<Request>> requests);
  // Whether there is a step, and it was launched.
  bool Launch(StepBatch batch);
  // Waits for the oldest step in flight and takes its outcome in. An error: the device is lost.
  absl::Status CommitOldest();
  // Lets Stats see progress_ and the inbox.
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Publishes the load and only then tells the sinks of what ended.
  void PublishAndDeliver();
  // Refuses from now on and ends everything, new requests included.
  void EndAll(FinishReason reason, const absl::Status& error);

  Model* const model_;
  const EngineOptions options_;

  Scheduler scheduler_;         // loop thread only, but for const data and work()
  std::deque<Step> in_flight_;  // loop thread only; oldest first

  mutable std::mutex mu_;
  std::condition_variable wake_;     // the loop: there is something to do
  std::condition_variable drained_;  // Drain: nothing is left
  std::vector<std::shared_ptr<Request>> inbox_ ABSL_GUARDED_BY(mu_);
  int64_t inbox_prompt_tokens_ ABSL_GUARDED_BY(mu_) = 0;
  // load.waiting counts what left the inbox and may be in the scheduler's queue: never too few, so
  // that Submit can decide.
  Progress progress_ ABSL_GUARDED_BY(mu_);
  Published<Progress> published_;  // written with mu_ held; load.waiting counts the inbox too
  bool idle_ ABSL_GUARDED_BY(mu_) = false;   // the loop sleeps and the scheduler is empty
  bool ended_ ABSL_GUARDED_BY(mu_) = false;  // no more requests: the device is gone
  bool stop_ ABSL_GUARDED_BY(mu_) = false;   // the destructor's wish
  std::optional<absl::Time> drain_deadline_ ABSL_GUARDED_BY(mu_);

  std::thread loop_;  // last: everything above exists when it starts
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_ENGINE_H_
