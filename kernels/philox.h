// Philox4x32-10: a counter-based random number generator (Salmon et al., "Parallel random numbers:
// as easy as 1, 2, 3", SC11). Draw i of key k is a pure function of (k, i): no state, any order,
// any device.
#ifndef WINNOW_KERNELS_PHILOX_H_
#define WINNOW_KERNELS_PHILOX_H_

#include <array>
#include <cstdint>

namespace winnow {

// Four random words from a 128-bit counter and a 64-bit key, words in order of increasing
// significance.
constexpr std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                             std::array<uint32_t, 2> key) {
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    // The key follows a Weyl sequence: steps of the golden ratio and of sqrt(3) - 1.
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Uniform in [0, 1), a multiple of 2^-53: the draw of `key` at `counter` (the low 64 bits of
// Philox's).
constexpr double PhiloxUniform(uint64_t key, uint64_t counter) {
  const std::array<uint32_t, 4> words =
      Philox4x32({static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0},
                 {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  const uint64_t bits = uint64_t{words[1]} << 32 | words[0];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// The seed of one of the choices that a request asks for: `seed` itself for choice 0, else the low
// 64 bits of Philox's at counter choice + 2^96, keyed by `seed`. Counters of draws are below 2^64,
// so seeds and draws of one key never share an output of the generator. Derived seeds are as good
// as random ones: two given ones are equal with probability 2^-64.
constexpr uint64_t DeriveSeed(uint64_t seed, uint32_t choice) {
  if (choice == 0) return seed;
  constexpr uint32_t kSeedDomain = 1;  // draws have 0 here
  const std::array<uint32_t, 4> words =
      Philox4x32({choice, 0, 0, kSeedDomain},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return uint64_t{words[1]} << 32 | words[0];
}

}  // namespace winnow

#endif  // WINNOW_KERNELS_PHILOX_H_
