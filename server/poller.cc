#include "server/poller.h"

#include <pthread.h>

#include <utility>

namespace winnow {

Poller::Poller(absl::Duration interval, std::function<void()> poll)
    : thread_([this, interval, poll = std::move(poll)] { Run(interval, poll); }) {
  pthread_setname_np(thread_.native_handle(), "winnow-files");
}

Poller::~Poller() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Poller::Run(absl::Duration interval, const std::function<void()>& poll) {
  std::unique_lock<std::mutex> lock(mu_);
  while (!wake_.wait_for(lock, absl::ToChronoNanoseconds(interval), [this] { return stopping_; })) {
    lock.unlock();
    poll();
    lock.lock();
  }
}

}  // namespace winnow
