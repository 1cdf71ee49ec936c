// Random numbers of a load test: everything it draws follows from one seed.
#ifndef WINNOW_CLIENT_LOAD_RANDOM_H_
#define WINNOW_CLIENT_LOAD_RANDOM_H_

#include <cstdint>
#include <random>

namespace winnow::load {

using Random = std::mt19937_64;

// Streams that are drawn from independently, so that asking for cancels does not change lengths.
enum class RandomStream : uint32_t { kArrivals = 1, kLengths = 2, kBehaviours = 3, kSeeds = 4 };

inline Random MakeRandom(uint64_t seed, RandomStream stream) {
  std::seed_seq words{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                      static_cast<uint32_t>(stream)};
  return Random(words);
}

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_RANDOM_H_
