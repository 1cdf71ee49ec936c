// ThreadPool: a fixed set of threads that run one parallel loop at a time, and their scratch.
//
// Made for ops of 10 us to 100 ms that follow each other closely: workers spin for a short while
// before they sleep, and a loop ends when its tasks are done, whether or not every worker woke up
// for it.
//
// Thread-compatible: Run() is called by one thread at a time (it takes part as thread 0) and never
// from inside a task; the threads end with the pool.
//
//   pool.Run(num_blocks, [&](int64_t block, int thread) {
//     float* scratch = pool.ThreadScratch(thread, block_floats);
//     ...
//   });
#ifndef WINNOW_KERNELS_CPU_THREAD_POOL_H_
#define WINNOW_KERNELS_CPU_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace winnow::cpu {

class ThreadPool {
 public:
  // num_threads >= 1, the calling thread included. Throws std::system_error if the system refuses a
  // thread.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls fn(task, thread) once for each task in [0, num_tasks), in any order, on threads 0 ..
  // num_threads() - 1; returns when all are done. Which thread runs a task must not influence its
  // result. REQUIRES num_tasks < 2^32.
  void Run(int64_t num_tasks, absl::FunctionRef<void(int64_t task, int thread)> fn);

  // Scratch of one thread: called by tasks with their own thread number. Aligned to 64 bytes; the
  // contents are anything, and are lost with the next call for the same thread. Grows to the
  // largest size asked for.
  float* ThreadScratch(int thread, int64_t num_floats);
  // The same for what all tasks of a loop read or write: called between loops only.
  float* SharedScratch(int64_t num_floats);

 private:
  using Fn = absl::FunctionRef<void(int64_t, int)>;

  struct Scratch {
    struct Free {
      void operator()(float* p) const;
    };
    float* AtLeast(int64_t num_floats);
    std::unique_ptr<float, Free> data;
    int64_t size = 0;
  };

  void Stop();
  void Worker(int thread);
  // Claims and runs tasks of the current loop until none is left.
  void Drain(int thread);
  bool HasWorkOrEnds() const;
  // Returns when there is work to claim or the pool ends.
  void AwaitWork();

  const int num_threads_;
  std::vector<Scratch> scratch_;  // [num_threads + 1]: the last is the shared one

  // The loop in progress: its number << 32 | tasks not yet claimed. A successful exchange of this
  // proves that fn_ and num_tasks_, read before it, belong to that loop: they change only when none
  // of its tasks is unclaimed.
  std::atomic<uint64_t> state_{0};
  std::atomic<const Fn*> fn_{nullptr};
  std::atomic<int64_t> num_tasks_{0};
  // Everybody adds to this while others claim: on another cache line.
  [[maybe_unused]] char padding_[64];
  std::atomic<int64_t> num_done_{0};
  std::atomic<bool> running_{false};
  std::atomic<bool> stop_{false};

  std::mutex mu_;
  std::condition_variable wake_;  // state_ or stop_ changed
  std::atomic<int> num_asleep_{0};
  std::vector<std::thread> workers_;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_THREAD_POOL_H_
