// CallCounter: how many streams are open, and a wait for the last one. Thread-safe.
#ifndef WINNOW_SERVER_CALL_COUNTER_H_
#define WINNOW_SERVER_CALL_COUNTER_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace winnow {

class CallCounter {
 public:
  void Add() {
    std::lock_guard<std::mutex> lock(mu_);
    ++open_;
  }
  void Remove() {
    std::lock_guard<std::mutex> lock(mu_);
    if (--open_ == 0) none_.notify_all();
  }

  // Until no stream is open, or until `deadline`.
  void WaitForNone(absl::Time deadline) {
    std::unique_lock<std::mutex> lock(mu_);
    none_.wait_until(lock, absl::ToChronoTime(deadline), [this] { return open_ == 0; });
  }

 private:
  std::mutex mu_;
  std::condition_variable none_;  // open_ became 0
  int64_t open_ = 0;              // guarded by mu_
};

}  // namespace winnow

#endif  // WINNOW_SERVER_CALL_COUNTER_H_
