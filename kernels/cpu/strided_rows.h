// A tensor for kernel tests whose rows lie further apart than they are long, with poison between
// and behind them: a kernel that ignores the row stride, or reads or writes past a row, is seen.
//
//   StridedRows x({num_tokens, num_heads, head_dim});
//   x.Fill(RandomFloats(x.size(), seed));
//   ... kernel works on x.view() ...
//   EXPECT_TRUE(x.GapsIntact());
//   EXPECT_TRUE(Near(x.Values(), expected, tolerance));
#ifndef WINNOW_KERNELS_CPU_STRIDED_ROWS_H_
#define WINNOW_KERNELS_CPU_STRIDED_ROWS_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "kernels/check.h"
#include "kernels/tensor.h"
#include "kernels/testing/compare.h"

namespace winnow::cpu {

class StridedRows {
 public:
  // All poison.
  explicit StridedRows(std::initializer_list<int64_t> shape)
      : view_(TensorView::Of(nullptr, DType::kF32, shape)) {
    row_size_ = view_.RowSize();
    view_.row_stride = row_size_ + kGap;
    values_.assign(view_.dim(0) * view_.row_stride + kGap, testing::kPoison);
  }

  int64_t size() const { return view_.size(); }
  TensorView view() {
    TensorView view = view_;
    view.raw = values_.data();
    return view;
  }

  // `values`: rows one behind the other, from row `first` on.
  void Fill(std::span<const float> values, int64_t first = 0) {
    if (row_size_ == 0) return;
    const int64_t num_rows = static_cast<int64_t>(values.size()) / row_size_;
    WINNOW_CHECK(first + num_rows <= view_.dim(0)) << first << " + " << num_rows;
    for (int64_t i = 0; i < num_rows; ++i) {
      std::copy_n(values.begin() + i * row_size_, row_size_, Row(first + i));
    }
  }

  // Rows [begin, end) one behind the other.
  std::vector<float> Values(int64_t begin, int64_t end) const {
    std::vector<float> values;
    for (int64_t i = begin; i < end; ++i) values.insert(values.end(), Row(i), Row(i) + row_size_);
    return values;
  }
  std::vector<float> Values() const { return Values(0, view_.dim(0)); }

  // Nothing was written outside of the rows.
  bool GapsIntact() const {
    const auto is_poison = [](float x) {
      return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(testing::kPoison);
    };
    bool intact = true;
    for (int64_t i = 0; i < view_.dim(0); ++i) {
      intact = intact && std::all_of(Row(i) + row_size_, Row(i) + view_.row_stride, is_poison);
    }
    return intact && std::all_of(values_.end() - kGap, values_.end(), is_poison);
  }

 private:
  static constexpr int64_t kGap = 5;

  float* Row(int64_t i) { return values_.data() + i * view_.row_stride; }
  const float* Row(int64_t i) const { return values_.data() + i * view_.row_stride; }

  TensorView view_;
  int64_t row_size_ = 0;
  std::vector<float> values_;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_STRIDED_ROWS_H_
