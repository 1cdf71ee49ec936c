#include "server/work_queue.h"

#include <pthread.h>

#include <limits>
#include <utility>

namespace winnow {

WorkQueue::WorkQueue(const std::string& name, int num_threads) {
  for (int i = 0; i < num_threads; ++i) {
    threads_.emplace_back([this] { Work(); });
    pthread_setname_np(threads_.back().native_handle(), name.c_str());
  }
}

WorkQueue::~WorkQueue() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkQueue::Post(std::function<void()> task) {
  TryPost(std::move(task), std::numeric_limits<size_t>::max());
}

bool WorkQueue::TryPost(std::function<void()> task, size_t max_waiting) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (tasks_.size() >= max_waiting) return false;
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void WorkQueue::Work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock<std::mutex> lock(mu_);
      wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace winnow
