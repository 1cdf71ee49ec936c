// Inputs and outputs for kernel tests: random values, values whose sums are exact, poisoned and
// guarded outputs.
//
//   const std::vector<float> x = RandomFloats(n, seed);
//   PoisonedBuffer out(n);
//   ... kernel writes out.data() ...
//   EXPECT_TRUE(out.GuardsIntact());
//   EXPECT_TRUE(Near(out.span(), expected, tolerance));
#ifndef WINNOW_KERNELS_TESTING_BUFFERS_H_
#define WINNOW_KERNELS_TESTING_BUFFERS_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "kernels/testing/compare.h"

namespace winnow::testing {

// Uniform in [low, high).
inline std::vector<float> RandomFloats(int64_t size, uint64_t seed, float low = -1,
                                       float high = 1) {
  std::mt19937_64 rng(seed);
  std::uniform_real_distribution<float> draw(low, high);
  std::vector<float> values(size);
  for (float& x : values) x = draw(rng);
  return values;
}

// Multiples of 1/4 in [-2, 2]: exact in bf16 and f16, and sums of up to 2^18 products of two are
// exact in float32 in any order. So a kernel that only multiplies and adds must be right to the
// last bit.
inline std::vector<float> ExactFloats(int64_t size, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::uniform_int_distribution<int> draw(-8, 8);
  std::vector<float> values(size);
  for (float& x : values) x = static_cast<float>(draw(rng)) / 4;
  return values;
}

// `size` floats of kPoison between guards, 4 bytes off any larger alignment if `offset` is odd.
class PoisonedBuffer {
 public:
  explicit PoisonedBuffer(int64_t size, int64_t offset = 0)
      : begin_(kGuard + offset), size_(size), values_(size + 2 * kGuard + offset, kPoison) {}

  float* data() { return values_.data() + begin_; }
  std::span<const float> span() const { return {values_.data() + begin_, size_}; }
  float operator[](int64_t i) const { return values_[begin_ + i]; }

  // Nothing was written before or after.
  bool GuardsIntact() const {
    const auto is_poison = [](float x) {
      return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(kPoison);
    };
    return std::all_of(values_.begin(), values_.begin() + begin_, is_poison) &&
           std::all_of(values_.begin() + begin_ + size_, values_.end(), is_poison);
  }

 private:
  static constexpr int64_t kGuard = 64;

  int64_t begin_;
  size_t size_;
  std::vector<float> values_;
};

}  // namespace winnow::testing

#endif  // WINNOW_KERNELS_TESTING_BUFFERS_H_
