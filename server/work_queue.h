// WorkQueue: a fixed number of threads that run short tasks in order of arrival, off gRPC's own
// threads (which must not compute) and off the engine's (which must not wait).
//
// Thread-safe. The destructor runs what is queued, then joins; nothing may be posted meanwhile.
#ifndef WINNOW_SERVER_WORK_QUEUE_H_
#define WINNOW_SERVER_WORK_QUEUE_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace winnow {

class WorkQueue {
 public:
  // `name`, at most 15 characters, is what tools show for the threads. REQUIRES num_threads >= 1.
  WorkQueue(const std::string& name, int num_threads);
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // For callers that bound their own number of tasks, such as one per stream.
  void Post(std::function<void()> task);

  // False, and the task is not taken, when max_waiting tasks wait already.
  bool TryPost(std::function<void()> task, size_t max_waiting);

 private:
  void Work();

  std::mutex mu_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;  // guarded by mu_
  bool stopping_ = false;                    // guarded by mu_
  std::vector<std::thread> threads_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_WORK_QUEUE_H_
