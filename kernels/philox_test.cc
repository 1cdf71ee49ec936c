#include "kernels/philox.h"

#include <array>
#include <cstdint>

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

TEST(Philox, UniformStaysBelowOneAndFillsTheUnitInterval) {
  constexpr int kDraws = 100000;
  constexpr int kBins = 64;
  std::array<int, kBins> counts = {};
  for (int i = 0; i < kDraws; ++i) {
    const double u = PhiloxUniform(42, static_cast<uint64_t>(i));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++counts[static_cast<int>(u * kBins)];
  }
  double chi_square = 0;
  for (const int count : counts) {
    const double expected = static_cast<double>(kDraws) / kBins;
    chi_square += (count - expected) * (count - expected) / expected;
  }
  // 63 degrees of freedom: exceeded with probability 1e-6.
  EXPECT_LT(chi_square, 131.0);
}

static_assert(PhiloxUniform(1, 2) != PhiloxUniform(2, 1));

}  // namespace
}  // namespace winnow
