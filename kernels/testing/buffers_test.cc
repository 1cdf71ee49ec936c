#include "kernels/testing/buffers.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace winnow::testing {
namespace {

TEST(RandomFloatsTest, RepeatsForASeedAndStaysInRange) {
  const std::vector<float> a = RandomFloats(1000, 7, -3, 5);
  EXPECT_TRUE(Identical(a, RandomFloats(1000, 7, -3, 5)));
  EXPECT_FALSE(Identical(a, RandomFloats(1000, 8, -3, 5)));
  for (const float x : a) {
    EXPECT_GE(x, -3);
    EXPECT_LT(x, 5);
  }
}

TEST(ExactFloatsTest, SumsOfProductsAreExactInAnyOrder) {
  const std::vector<float> a = ExactFloats(1 << 16, 1);
  const std::vector<float> b = ExactFloats(1 << 16, 2);
  float forward = 0, backward = 0;
  for (size_t i = 0; i < a.size(); ++i) forward += a[i] * b[i];
  for (size_t i = a.size(); i-- > 0;) backward += a[i] * b[i];
  EXPECT_EQ(forward, backward);
}

TEST(PoisonedBufferTest, StartsPoisonedAndSeesWritesOutside) {
  PoisonedBuffer buffer(3);
  EXPECT_FALSE(Near(buffer.span(), std::vector<float>(3, kPoison), {}));
  EXPECT_TRUE(buffer.GuardsIntact());
  for (int64_t i = 0; i < 3; ++i) buffer.data()[i] = 1;
  EXPECT_TRUE(buffer.GuardsIntact());
  EXPECT_TRUE(Identical(buffer.span(), std::vector<float>(3, 1)));

  PoisonedBuffer before(3);
  before.data()[-1] = 0;
  EXPECT_FALSE(before.GuardsIntact());
  PoisonedBuffer after(3, 1);
  after.data()[3] = 0;
  EXPECT_FALSE(after.GuardsIntact());
}

TEST(PoisonedBufferTest, MayBeEmpty) {
  PoisonedBuffer buffer(0);
  EXPECT_TRUE(buffer.span().empty());
  EXPECT_TRUE(buffer.GuardsIntact());
}

}  // namespace
}  // namespace winnow::testing
