// ThreadPool: a fixed set of threads that run one parallel loop at a time.
//
// Made for ops of 10 us to 100 ms that follow each other closely: workers spin for a short while before they sleep.
// Thread-compatible: Run() is called by one thread at a time (it takes part as thread 0); the threads end with the pool.
#ifndef WINNOW_KERNELS_CPU_THREAD_POOL_H_
#define WINNOW_KERNELS_CPU_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace winnow::cpu {

class ThreadPool {
 public:
  // num_threads >= 1, the calling thread included.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls fn(task, thread) once for each task in [0, num_tasks), in any order, on threads 0 .. num_threads() - 1; returns when
  // all are done. Which thread runs a task must not influence its result.
  void Run(int64_t num_tasks, absl::FunctionRef<void(int64_t task, int thread)> fn);

 private:
  void Worker(int thread);
  void Drain(int thread);

  const int num_threads_;

  // The loop in progress; written by Run before generation_ is advanced.
  const absl::FunctionRef<void(int64_t, int)>* fn_ = nullptr;
  int64_t num_tasks_ = 0;
  std::atomic<int64_t> next_task_{0};
  std::atomic<int> num_running_{0};  // workers that have not finished this generation
  std::atomic<uint64_t> generation_{0};
  std::atomic<bool> stop_{false};

  std::mutex mu_;
  std::condition_variable wake_;  // generation_ or stop_ changed
  std::vector<std::thread> workers_;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_THREAD_POOL_H_
