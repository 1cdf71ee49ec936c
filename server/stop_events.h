// StopEvents: the reasons for the main thread to act: a signal, the end of a drain, a lost device.
//
// Made before any other thread, so that all of them leave SIGTERM and SIGINT to this.
#ifndef WINNOW_SERVER_STOP_EVENTS_H_
#define WINNOW_SERVER_STOP_EVENTS_H_

#include "absl/time/time.h"

namespace winnow {

enum class StopEvent { kSignal, kFatal, kDrained, kTimeout };

class StopEvents {
 public:
  StopEvents();
  ~StopEvents();
  StopEvents(const StopEvents&) = delete;
  StopEvents& operator=(const StopEvents&) = delete;

  // Thread-safe. Each call is one event.
  void NotifyFatal();
  void NotifyDrained();

  // The next event; kTimeout when none came until `until`. By one thread.
  StopEvent Wait(absl::Time until = absl::InfiniteFuture());

 private:
  void Notify(char event);

  int signals_;  // signalfd
  int pipe_[2];  // events as single bytes
};

}  // namespace winnow

#endif  // WINNOW_SERVER_STOP_EVENTS_H_
