// Random draws in a test's terms. Deterministic from the seed.
#ifndef WINNOW_TESTS_SOAK_RANDOM_H_
#define WINNOW_TESTS_SOAK_RANDOM_H_

#include <cstdint>
#include <random>

namespace winnow::soak {

class Random {
 public:
  // Of one seed, the `index`-th sequence of draws.
  Random(uint64_t seed, uint64_t index) {
    std::seed_seq words{seed, seed >> 32, index, index >> 32};
    bits_.seed(words);
  }

  uint64_t Bits() { return bits_(); }
  // In [low, high], both included.
  int Int(int low, int high) { return low + static_cast<int>(bits_() % (high - low + 1)); }
  // In [low, high).
  float Float(float low, float high) {
    return low + (high - low) * static_cast<float>(bits_() >> 40) * 0x1p-24f;
  }
  bool Percent(int chance) { return Int(0, 99) < chance; }

 private:
  std::mt19937_64 bits_;
};

}  // namespace winnow::soak

#endif  // WINNOW_TESTS_SOAK_RANDOM_H_
