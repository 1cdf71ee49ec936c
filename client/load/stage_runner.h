// StageRunner: sends one stage's requests when they are due and collects what comes of them.
#ifndef WINNOW_CLIENT_LOAD_STAGE_RUNNER_H_
#define WINNOW_CLIENT_LOAD_STAGE_RUNNER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "client/load/arrivals.h"
#include "client/load/call.h"
#include "client/load/call_record.h"
#include "client/load/load_options.h"
#include "client/load/load_target.h"
#include "client/load/request_source.h"
#include "client/load/statistics.h"

namespace winnow::load {

struct StagePlan {
  LoadLevel level;
  ArrivalProcess arrivals = {};
  int64_t warmup_requests = 0;
  std::optional<int64_t> num_requests = {};  // beyond the warm-up's; one of the two
  std::optional<double> seconds = {};
};

struct StageResult {
  LoadLevel level;
  std::vector<CallRecord> records = {};  // in the order of their scheduled times
  int64_t start_ns = 0;                  // steady clock
  StageWindow window = {};  // of an open loop that was not stopped: without the warm-up
  double cpu_seconds = 0;   // that this process spent on it
  bool stopped = false;     // before its end
};

struct StageProgress {
  int64_t sent = 0, ended = 0, failed = 0, in_flight = 0;
  std::optional<int64_t> planned;  // requests; absent where time decides
  double seconds = 0;              // since the stage's start
};

// Requests are sent from the thread that calls Run; answers come on gRPC's threads.
class StageRunner : private CallOwner {
 public:
  // `on_progress` may be null; it is called about five times a second, from Run. Neither `target`
  // nor `source` is owned.
  StageRunner(LoadTarget* target, RequestSource* source, const CallSettings& settings,
              std::function<void(const StageProgress&)> on_progress);

  // Returns when all of its requests have ended and nothing of them is left, so that the target may
  // go.
  StageResult Run(const StagePlan& plan, Random* arrivals);

  // From any thread, but for a signal handler: no more is sent, what is in flight is cancelled, and
  // Run returns soon, then and at any later call.
  void Stop();

 private:
  void RunOpen(const StagePlan& plan, const RateRange& rate, Random* arrivals);
  void RunClosed(const StagePlan& plan, int concurrency);
  void Send(int64_t scheduled_ns, bool warmup);
  void OnCallDone(Call* call) override;
  // Waits for `ready`, a condition on what mu_ guards, or until `deadline_ns`, showing progress.
  void Await(std::unique_lock<std::mutex>* lock, std::optional<int64_t> deadline_ns,
             const std::function<bool()>& ready);
  void ShowProgress(std::unique_lock<std::mutex>* lock);

  LoadTarget* const target_;
  RequestSource* const source_;
  const CallSettings settings_;
  const std::function<void(const StageProgress&)> on_progress_;

  std::mutex mu_;
  std::condition_variable changed_;
  // All below are guarded by mu_, but for what only Run's thread uses: start_ns_,
  // next_progress_ns_.
  std::unordered_map<Call*, std::shared_ptr<Call>> in_flight_;
  std::deque<int64_t> freed_ns_;  // ends of calls that a closed loop has not replaced yet
  std::vector<CallRecord> records_;
  StageProgress progress_;
  bool stopped_ = false;
  int64_t start_ns_ = 0, next_progress_ns_ = 0;
  StageWindow window_;
};

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_STAGE_RUNNER_H_
