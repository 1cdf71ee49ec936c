// Stopper: ends a run early, at Ctrl-C.
#ifndef WINNOW_CLIENT_LOAD_STOPPER_H_
#define WINNOW_CLIENT_LOAD_STOPPER_H_

#include <mutex>

#include "client/load/stage_runner.h"

namespace winnow::load {

// Ends a run early, from another thread. Thread-safe.
class Stopper {
 public:
  void Stop();
  // The runner that Stop stops; null: none any more. Stopped at once if Stop came before.
  void Watch(StageRunner* runner);

 private:
  std::mutex mu_;
  bool stopped_ = false;           // guarded by mu_
  StageRunner* runner_ = nullptr;  // guarded by mu_
};

// One that stops at the first Ctrl-C or SIGTERM; the second ends the process with kExitStopped.
// Once in a process, which it lives as long as. Blocks these signals and ignores SIGPIPE, so it
// must come before gRPC starts its threads.
Stopper* StopperOfSignals();

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_STOPPER_H_
