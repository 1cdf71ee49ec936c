#include "client/load/stopper.h"

#include <signal.h>
#include <unistd.h>

#include <thread>

#include "client/exit_codes.h"

namespace winnow::load {

void Stopper::Stop() {
  std::lock_guard<std::mutex> lock(mu_);
  stopped_ = true;
  if (runner_ != nullptr) runner_->Stop();
}

void Stopper::Watch(StageRunner* runner) {
  std::lock_guard<std::mutex> lock(mu_);
  runner_ = runner;
  if (stopped_ && runner_ != nullptr) runner_->Stop();
}

Stopper* StopperOfSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Both are left to the process' end.
  auto* stopper = new Stopper();
  std::thread([signals, stopper] {
    int signal = 0;
    if (sigwait(&signals, &signal) == 0) stopper->Stop();
    if (sigwait(&signals, &signal) == 0) _exit(kExitStopped);
  }).detach();
  return stopper;
}

}  // namespace winnow::load
