// Poller: a thread that calls a function at intervals.
#ifndef WINNOW_SERVER_POLLER_H_
#define WINNOW_SERVER_POLLER_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace winnow {

class Poller {
 public:
  // First after one interval.
  Poller(absl::Duration interval, std::function<void()> poll);
  ~Poller();  // returns once a call that is running has
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

 private:
  void Run(absl::Duration interval, const std::function<void()>& poll);

  std::mutex mu_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mu_
  std::thread thread_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_POLLER_H_
