#include "kernels/dtype.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace winnow {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(DTypeTest, BytesAndNames) {
  EXPECT_EQ(DTypeBytes(DType::kF32), 4);
  EXPECT_EQ(DTypeBytes(DType::kF16), 2);
  EXPECT_EQ(DTypeBytes(DType::kBF16), 2);
  EXPECT_EQ(DTypeBytes(DType::kI32), 4);
  EXPECT_EQ(DTypeBytes(DType::kI64), 8);
  EXPECT_EQ(DTypeName(DType::kBF16), "BF16");
  EXPECT_EQ(DTypeName(DType::kF16), "F16");
}

// Independent of the bit tricks under test: sign * (1 + mantissa / 2^m) * 2^exponent from the
// definition.
double Decode(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = (bits >> 15) ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * kInf;
  }
  const double fraction = std::ldexp(static_cast<double>(mantissa), -mantissa_bits);
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1 + fraction, exponent - bias);
}

void ExpectSame(float actual, double expected, uint32_t bits) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(actual)) << std::hex << bits;
    return;
  }
  EXPECT_EQ(actual, expected) << std::hex << bits;
  EXPECT_EQ(std::signbit(actual), std::signbit(expected)) << std::hex << bits;
}

TEST(DTypeTest, EveryBF16ConvertsExactly) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const BF16 x{static_cast<uint16_t>(bits)};
    ExpectSame(ToFloat(x), Decode(x.bits, 8, 7), bits);
  }
}

TEST(DTypeTest, EveryF16ConvertsExactly) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const F16 x{static_cast<uint16_t>(bits)};
    ExpectSame(ToFloat(x), Decode(x.bits, 5, 10), bits);
  }
}

TEST(DTypeTest, ToBF16IsTheInverseOnBF16Values) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float x = ToFloat(BF16{static_cast<uint16_t>(bits)});
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(ToFloat(ToBF16(x))));
    } else {
      EXPECT_EQ(ToBF16(x).bits, bits);
    }
  }
}

TEST(DTypeTest, ToBF16RoundsToNearestTiesToEven) {
  EXPECT_EQ(ToFloat(ToBF16(1.0f + 0x1p-9f)), 1.0f);                      // below the middle
  EXPECT_EQ(ToFloat(ToBF16(1.0f + 0x1p-8f)), 1.0f);                      // middle: to even
  EXPECT_EQ(ToFloat(ToBF16(1.0f + 0x1p-7f + 0x1p-8f)), 1.0f + 0x1p-6f);  // middle: to even
  EXPECT_EQ(ToFloat(ToBF16(1.0f + 0x1p-8f + 0x1p-20f)), 1.0f + 0x1p-7f);
  EXPECT_EQ(ToFloat(ToBF16(-1.0f - 0x1p-8f - 0x1p-20f)), -1.0f - 0x1p-7f);
  EXPECT_EQ(ToFloat(ToBF16(std::numeric_limits<float>::max())), kInf);
  EXPECT_EQ(ToFloat(ToBF16(-kInf)), -kInf);
}

TEST(DTypeTest, ToBF16KeepsNaNsWhosePayloadIsInTheLowHalf) {
  EXPECT_TRUE(std::isnan(ToFloat(ToBF16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(ToFloat(ToBF16(std::bit_cast<float>(0xffffffffu)))));
}

TEST(DTypeDeathTest, UnknownDTypeFails) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(DTypeBytes(static_cast<DType>(99)), "dtype 99");
}

}  // namespace
}  // namespace winnow
