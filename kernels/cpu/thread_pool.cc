#include "kernels/cpu/thread_pool.h"

#include <chrono>
#include <cstdlib>

#include "kernels/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace winnow::cpu {
namespace {

constexpr uint64_t kUnclaimedMask = 0xffffffffu;
constexpr int64_t kScratchAlignment = 64;

// Busy waiting, politer with time: pauses first, then gives the core to whoever else wants it.
class Backoff {
 public:
  // False when it has gone on for so long that the caller should sleep.
  bool Wait() {
    using Clock = std::chrono::steady_clock;
    if (++num_waits_ <= kPauses) {
      Pause();
      return true;
    }
    if (num_waits_ == kPauses + 1) give_up_ = Clock::now() + std::chrono::microseconds(200);
    std::this_thread::yield();
    return Clock::now() < give_up_;
  }

 private:
  static constexpr int kPauses = 1000;  // some 20 to 50 us

  static void Pause() {
#if defined(__x86_64__)
    _mm_pause();
#else
    std::this_thread::yield();
#endif
  }

  int num_waits_ = 0;
  std::chrono::steady_clock::time_point give_up_;
};

}  // namespace

void ThreadPool::Scratch::Free::operator()(float* p) const { std::free(p); }

float* ThreadPool::Scratch::AtLeast(int64_t num_floats) {
  if (num_floats > size) {
    const int64_t bytes = (num_floats * int64_t{sizeof(float)} + kScratchAlignment - 1) /
                          kScratchAlignment * kScratchAlignment;
    data.reset();
    data.reset(static_cast<float*>(std::aligned_alloc(kScratchAlignment, bytes)));
    WINNOW_CHECK(data != nullptr) << "no memory for " << bytes << " bytes of scratch";
    size = num_floats;
  }
  return data.get();
}

ThreadPool::ThreadPool(int num_threads) : num_threads_(num_threads) {
  WINNOW_CHECK(num_threads >= 1) << num_threads << " threads";
  scratch_ = std::vector<Scratch>(num_threads + 1);
  workers_.reserve(num_threads - 1);
  try {
    for (int i = 1; i < num_threads; ++i) workers_.emplace_back([this, i] { Worker(i); });
  } catch (...) {
    Stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stop_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

float* ThreadPool::ThreadScratch(int thread, int64_t num_floats) {
  return scratch_[thread].AtLeast(num_floats);
}

float* ThreadPool::SharedScratch(int64_t num_floats) {
  return scratch_[num_threads_].AtLeast(num_floats);
}

void ThreadPool::Run(int64_t num_tasks, Fn fn) {
  if (num_tasks == 0) return;
  WINNOW_CHECK(num_tasks > 0 && num_tasks <= int64_t{kUnclaimedMask}) << num_tasks << " tasks";
  WINNOW_CHECK(!running_.exchange(true)) << "a loop inside a loop, or two at a time";
  if (num_threads_ == 1 || num_tasks == 1) {
    for (int64_t task = 0; task < num_tasks; ++task) fn(task, 0);
    running_.store(false);
    return;
  }
  fn_.store(&fn, std::memory_order_relaxed);
  num_tasks_.store(num_tasks, std::memory_order_relaxed);
  num_done_.store(0, std::memory_order_relaxed);
  const uint64_t loop = (state_.load(std::memory_order_relaxed) >> 32) + 1;
  state_.store(loop << 32 | static_cast<uint64_t>(num_tasks));
  // Sequentially consistent with AwaitWork: either it sees the new state or we see it asleep.
  if (num_asleep_.load() > 0) {
    { std::lock_guard<std::mutex> lock(mu_); }
    wake_.notify_all();
  }
  Drain(0);
  // Acquires what the tasks wrote.
  Backoff backoff;
  while (num_done_.load(std::memory_order_acquire) != num_tasks) backoff.Wait();
  running_.store(false);
}

void ThreadPool::Drain(int thread) {
  uint64_t state = state_.load(std::memory_order_acquire);
  while ((state & kUnclaimedMask) != 0) {
    const Fn* fn = fn_.load(std::memory_order_relaxed);
    const int64_t task =
        num_tasks_.load(std::memory_order_relaxed) - static_cast<int64_t>(state & kUnclaimedMask);
    if (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
      continue;
    }
    (*fn)(task, thread);
    num_done_.fetch_add(1, std::memory_order_release);
    state = state_.load(std::memory_order_acquire);
  }
}

bool ThreadPool::HasWorkOrEnds() const {
  return (state_.load() & kUnclaimedMask) != 0 || stop_.load();
}

void ThreadPool::AwaitWork() {
  Backoff backoff;
  while (backoff.Wait()) {
    if (HasWorkOrEnds()) return;
  }
  std::unique_lock<std::mutex> lock(mu_);
  num_asleep_.fetch_add(1);
  wake_.wait(lock, [this] { return HasWorkOrEnds(); });
  num_asleep_.fetch_sub(1);
}

void ThreadPool::Worker(int thread) {
  while (!stop_.load()) {
    AwaitWork();
    Drain(thread);
  }
}

}  // namespace winnow::cpu
