#include "kernels/philox.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace winnow {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers for philox4x32 with 10 rounds, as published with Random123 (kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformTakesTheLowWordsOfCounterAndKey) {
  // From the first known answer: (0xe169c58d6627e8d5 >> 11) / 2^53.
  EXPECT_EQ(PhiloxUniform(0, 0),
            static_cast<double>(0xe169c58d6627e8d5u >> 11) / 9007199254740992.0);
  const Words words = Philox4x32({0x89abcdef, 0x01234567, 0, 0}, {0x76543210, 0xfedcba98});
  const uint64_t bits = uint64_t{words[1]} << 32 | words[0];
  EXPECT_EQ(PhiloxUniform(0xfedcba9876543210, 0x0123456789abcdef),
            static_cast<double>(bits >> 11) / 9007199254740992.0);
}

// 63 degrees of freedom: exceeded with probability 1e-6.
constexpr double kChiSquareLimit = 131.0;

double ChiSquare(const std::array<int, 64>& counts, int draws) {
  const double expected = static_cast<double>(draws) / 64;
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - expected) * (count - expected) / expected;
  return chi_square;
}

TEST(Philox, UniformStaysBelowOneAndFillsTheUnitInterval) {
  constexpr int kDraws = 100000;
  std::array<int, 64> counts = {};
  for (int i = 0; i < kDraws; ++i) {
    const double u = PhiloxUniform(42, static_cast<uint64_t>(i));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++counts[static_cast<int>(u * 64)];
  }
  EXPECT_LT(ChiSquare(counts, kDraws), kChiSquareLimit);
}

static_assert(PhiloxUniform(1, 2) != PhiloxUniform(2, 1));

// Seeds are reported to clients, who send them again: the mapping never changes.
TEST(DeriveSeed, ChoiceZeroKeepsTheSeedAndOthersAreTheGenerators) {
  for (const uint64_t seed :
       {uint64_t{0}, uint64_t{1}, uint64_t{0xfedcba9876543210}, ~uint64_t{0}}) {
    EXPECT_EQ(DeriveSeed(seed, 0), seed);
    for (const uint32_t choice : {1u, 15u, ~uint32_t{0}}) {
      const Words words = Philox4x32(
          {choice, 0, 0, 1}, {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
      EXPECT_EQ(DeriveSeed(seed, choice), uint64_t{words[1]} << 32 | words[0]);
    }
  }
}

TEST(DeriveSeed, AllDiffer) {
  std::vector<uint64_t> seeds;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    for (uint32_t choice = 0; choice < 1000; ++choice) seeds.push_back(DeriveSeed(seed, choice));
  }
  std::sort(seeds.begin(), seeds.end());
  EXPECT_EQ(std::adjacent_find(seeds.begin(), seeds.end()), seeds.end());
}

TEST(DeriveSeed, AreNoDrawsOfTheSeedTheyComeFrom) {
  constexpr uint64_t kSeed = 3;
  std::vector<double> draws;
  for (uint64_t i = 0; i < 100'000; ++i) draws.push_back(PhiloxUniform(kSeed, i));
  std::sort(draws.begin(), draws.end());
  for (uint32_t choice = 1; choice < 100'000; ++choice) {
    const double as_draw = static_cast<double>(DeriveSeed(kSeed, choice) >> 11) * 0x1p-53;
    ASSERT_FALSE(std::binary_search(draws.begin(), draws.end(), as_draw)) << choice;
  }
}

// Every six bits, along choices and along seeds.
TEST(DeriveSeed, IsUniform) {
  constexpr int kSeeds = 100'000;
  for (int shift = 0; shift < 60; shift += 6) {
    std::array<int, 64> by_choice = {};
    std::array<int, 64> by_seed = {};
    for (uint32_t i = 1; i <= kSeeds; ++i) {
      ++by_choice[DeriveSeed(11, i) >> shift & 63];
      ++by_seed[DeriveSeed(i, 1) >> shift & 63];
    }
    EXPECT_LT(ChiSquare(by_choice, kSeeds), kChiSquareLimit) << "bit " << shift;
    EXPECT_LT(ChiSquare(by_seed, kSeeds), kChiSquareLimit) << "bit " << shift;
  }
}

// Draws of two choices at the same positions, eight bins each, are pairs of independent numbers.
TEST(DeriveSeed, ChoicesDrawIndependently) {
  constexpr int kDraws = 100'000;
  for (uint32_t choice = 0; choice < 16; ++choice) {
    std::array<int, 64> counts = {};
    for (uint64_t i = 0; i < kDraws; ++i) {
      const double a = PhiloxUniform(DeriveSeed(5, choice), i);
      const double b = PhiloxUniform(DeriveSeed(5, choice + 1), i);
      ++counts[static_cast<int>(a * 8) * 8 + static_cast<int>(b * 8)];
    }
    EXPECT_LT(ChiSquare(counts, kDraws), kChiSquareLimit) << choice;
  }
}

}  // namespace
}  // namespace winnow
