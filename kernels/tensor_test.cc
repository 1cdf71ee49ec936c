#include "kernels/tensor.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(TensorViewTest, ContiguousShape) {
  std::vector<float> data(24);
  const TensorView x = TensorView::Of(data.data(), DType::kF32, {2, 3, 4});
  EXPECT_EQ(x.rank, 3);
  EXPECT_EQ(x.dim(1), 3);
  EXPECT_EQ(x.RowSize(), 12);
  EXPECT_EQ(x.size(), 24);
  EXPECT_TRUE(x.IsContiguous());
  EXPECT_EQ(x.row<float>(1), data.data() + 12);
}

TEST(TensorViewTest, RowsMayBeStrided) {
  std::vector<float> data(40);
  TensorView x = TensorView::Of(data.data(), DType::kF32, {4, 3});
  x.row_stride = 10;
  EXPECT_FALSE(x.IsContiguous());
  EXPECT_EQ(x.row<float>(3), data.data() + 30);
  EXPECT_EQ(x.First(2).row<float>(1), data.data() + 10);
  EXPECT_EQ(x.First(2).size(), 6);
}

TEST(TensorViewTest, EmptyViews) {
  EXPECT_EQ(TensorView().rank, 0);
  EXPECT_EQ(TensorView().size(), 0);
  const TensorView none = TensorView::Of(nullptr, DType::kF32, {0, 8});
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(none.RowSize(), 8);
}

TEST(TensorViewTest, RowsReshapesInnerDimensions) {
  std::vector<float> data(24);
  const TensorView x = TensorView::Of(data.data(), DType::kF32, {2, 12}).Rows({3, 4});
  EXPECT_EQ(x.rank, 3);
  EXPECT_EQ(x.dim(2), 4);
  EXPECT_EQ(x.row_stride, 12);
}

TEST(TensorViewDeathTest, ChecksTypeAndBounds) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  std::vector<float> data(24);
  const TensorView x = TensorView::Of(data.data(), DType::kF32, {2, 12});
  EXPECT_DEATH(x.data<int32_t>(), "F32 tensor");
  EXPECT_DEATH(x.First(3), "3 of 2");
  EXPECT_DEATH(x.Rows({5}), "5 vs 12");
}

}  // namespace
}  // namespace winnow
