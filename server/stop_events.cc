#include "server/stop_events.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "kernels/check.h"

namespace winnow {
namespace {

constexpr char kFatalByte = 'f';
constexpr char kDrainedByte = 'd';

int MillisUntil(absl::Time until) {
  if (until == absl::InfiniteFuture()) return -1;
  const absl::Duration left = std::clamp(until - absl::Now(), absl::ZeroDuration(), absl::Hours(1));
  return static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))));
}

}  // namespace

StopEvents::StopEvents() {
  sigset_t handled;
  sigemptyset(&handled);
  sigaddset(&handled, SIGTERM);
  sigaddset(&handled, SIGINT);
  WINNOW_CHECK(pthread_sigmask(SIG_BLOCK, &handled, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
  signals_ = signalfd(-1, &handled, SFD_CLOEXEC);
  WINNOW_CHECK(signals_ >= 0 && pipe2(pipe_, O_CLOEXEC) == 0);
}

StopEvents::~StopEvents() {
  close(signals_);
  close(pipe_[0]);
  close(pipe_[1]);
}

void StopEvents::Notify(char event) { WINNOW_CHECK(write(pipe_[1], &event, 1) == 1); }
void StopEvents::NotifyFatal() { Notify(kFatalByte); }
void StopEvents::NotifyDrained() { Notify(kDrainedByte); }

StopEvent StopEvents::Wait(absl::Time until) {
  pollfd fds[2] = {{signals_, POLLIN, 0}, {pipe_[0], POLLIN, 0}};
  while (poll(fds, 2, MillisUntil(until)) <= 0) {
    if (absl::Now() >= until) return StopEvent::kTimeout;
  }
  if (fds[1].revents != 0) {
    char event = 0;
    WINNOW_CHECK(read(pipe_[0], &event, 1) == 1);
    return event == kFatalByte ? StopEvent::kFatal : StopEvent::kDrained;
  }
  signalfd_siginfo info;
  WINNOW_CHECK(read(signals_, &info, sizeof(info)) == sizeof(info));
  return StopEvent::kSignal;
}

}  // namespace winnow
