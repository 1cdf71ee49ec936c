// IdleRatio: which share of the last while the engine was idle, from how long it has been busy in
// all. Thread-safe.
#ifndef WINNOW_SERVER_IDLE_RATIO_H_
#define WINNOW_SERVER_IDLE_RATIO_H_

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/time/time.h"

namespace winnow {

class IdleRatio {
 public:
  // The last while: once there have been calls for that long, between one and two of this; longer
  // if calls are further apart.
  static constexpr absl::Duration kWindow = absl::Seconds(10);

  explicit IdleRatio(absl::Time start) : older_{start, absl::ZeroDuration()}, newer_(older_) {}

  // `busy`: all that has been until now. 0..1.
  double Update(absl::Time now, absl::Duration busy) {
    const std::lock_guard<std::mutex> lock(mu_);
    if (now - newer_.time >= kWindow) older_ = std::exchange(newer_, {now, busy});
    const absl::Duration elapsed = now - older_.time;
    if (elapsed <= absl::ZeroDuration()) return 1;
    return std::clamp(1 - absl::FDivDuration(busy - older_.busy, elapsed), 0.0, 1.0);
  }

 private:
  struct Mark {
    absl::Time time;
    absl::Duration busy;
  };

  std::mutex mu_;
  Mark older_, newer_;  // guarded by mu_
};

}  // namespace winnow

#endif  // WINNOW_SERVER_IDLE_RATIO_H_
