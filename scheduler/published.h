// Published: the latest of a few plain numbers, whole, for readers that no writer ever waits for.
//
//   Published<Load> load;
//   load.Write({...});         // one thread at a time
//   Load now = load.Read();    // any thread
//
// A sequence lock: the writer counts up before and after, and a reader that finds the count odd or
// changed reads again. A reader's work is bounded by the writes beside it, each of some ten stores.
#ifndef WINNOW_SCHEDULER_PUBLISHED_H_
#define WINNOW_SCHEDULER_PUBLISHED_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>

namespace winnow {

template <typename T>
class Published {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(uint64_t) == 0);

 public:
  explicit Published(const T& value) { Write(value); }

  void Write(const T& value) {
    const auto words = std::bit_cast<Words>(value);
    const uint64_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);
    // Release and acquire on each word instead of fences, which ThreadSanitizer does not know:
    // whoever reads a new word also sees that the version has changed.
    for (size_t i = 0; i < kWords; ++i) words_[i].store(words[i], std::memory_order_release);
    version_.store(version + 2, std::memory_order_release);
  }

  T Read() const {
    Words words;
    while (!TryRead(&words)) std::this_thread::yield();
    return std::bit_cast<T>(words);
  }

 private:
  static constexpr size_t kWords = sizeof(T) / sizeof(uint64_t);
  using Words = std::array<uint64_t, kWords>;

  bool TryRead(Words* words) const {
    const uint64_t before = version_.load(std::memory_order_acquire);
    for (size_t i = 0; i < kWords; ++i) (*words)[i] = words_[i].load(std::memory_order_acquire);
    return before % 2 == 0 && version_.load(std::memory_order_relaxed) == before;
  }

  std::atomic<uint64_t> version_{0};  // odd: being written
  std::array<std::atomic<uint64_t>, kWords> words_{};
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_PUBLISHED_H_
