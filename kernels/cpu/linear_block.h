// One task of Linear: what a block of outputs needs to know. Private to linear.cc and its
// per-target code.
#ifndef WINNOW_KERNELS_CPU_LINEAR_BLOCK_H_
#define WINNOW_KERNELS_CPU_LINEAR_BLOCK_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace winnow::cpu {

// out[num_rows, num_cols] = x[num_rows, depth] w[num_cols, depth]^T + bias[num_cols]
struct LinearBlock {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int64_t num_rows = 0;
  const void* w = nullptr;
  DType w_dtype = DType::kBF16;
  int64_t num_cols = 0;
  int64_t depth = 0;
  const float* bias = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0;

  // The same for rows t0 .. t0 + n - 1.
  LinearBlock Rows(int64_t t0, int64_t n) const {
    LinearBlock rows = *this;
    rows.x = x + t0 * x_stride;
    rows.num_rows = n;
    rows.out = out + t0 * out_stride;
    return rows;
  }
  // The same for columns n0 .. n0 + n - 1.
  LinearBlock Columns(int64_t n0, int64_t n) const {
    LinearBlock columns = *this;
    columns.w = static_cast<const std::byte*>(w) + n0 * depth * DTypeBytes(w_dtype);
    columns.num_cols = n;
    columns.bias = bias == nullptr ? nullptr : bias + n0;
    columns.out = out + n0;
    return columns;
  }
};

constexpr int64_t RoundUp(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

// Largest number of float lanes in a vector.
inline constexpr int64_t kMaxLanes = 16;

// How the depth is cut into parts, each summed by itself: by the depth alone, so that every form
// sums in the same order. Parts are of about the same size and so short that the rows of x of a
// tile lie in the L1 cache.
class DepthParts {
 public:
  DepthParts(int64_t depth, int64_t lanes)
      : lanes_(lanes),
        num_vectors_((depth + lanes - 1) / lanes),
        num_parts_(std::max<int64_t>(1, (num_vectors_ * lanes + kMaxDepth - 1) / kMaxDepth)) {}

  int64_t size() const { return num_parts_; }
  // First element of a part. The end of the last one is beyond the depth if that is no multiple of
  // lanes.
  int64_t Begin(int64_t part) const { return num_vectors_ * part / num_parts_ * lanes_; }

  static constexpr int64_t kMaxDepth = 1024;

 private:
  int64_t lanes_;
  int64_t num_vectors_;
  int64_t num_parts_;
};

// Columns that the direct form computes for some rows before it turns to the next rows: a multiple
// of every tile's.
inline constexpr int64_t kDirectCols = 24;

// Columns of a block in the blocked form: converted, one part of their weights takes some 600 KB of
// the L2 cache.
inline constexpr int64_t kMaxBlockCols = 144;

// Scratch of the blocked form in floats: tails of the rows of x in a tile, then the converted
// weights.
inline constexpr int64_t kTailScratch = 8 * kMaxLanes;
inline constexpr int64_t kBlockScratch =
    kTailScratch + kMaxBlockCols * (DepthParts::kMaxDepth + kMaxLanes);

// Asks for memory that comes next, a few cache lines at a time, so that fetching it overlaps with
// the work on what is there: num_rows rows of row_bytes, row_stride bytes apart, to be spread over
// num_steps calls.
class Lookahead {
 public:
  Lookahead() = default;
  Lookahead(const void* data, int64_t num_rows, int64_t row_bytes, int64_t row_stride,
            int64_t num_steps)
      : row_(static_cast<const char*>(data)),
        num_rows_(num_rows),
        row_bytes_(row_bytes),
        row_stride_(row_stride),
        lines_per_step_(
            num_rows * ((row_bytes + kLine - 1) / kLine) / std::max<int64_t>(1, num_steps) + 1) {}

  void Step() {
    for (int64_t i = lines_per_step_; i > 0 && num_rows_ > 0; --i) {
      __builtin_prefetch(row_ + offset_, 0, 2);
      offset_ += kLine;
      if (offset_ < row_bytes_) continue;
      offset_ = 0;
      row_ += row_stride_;
      --num_rows_;
    }
  }

 private:
  static constexpr int64_t kLine = 64;

  const char* row_ = nullptr;
  int64_t offset_ = 0;
  int64_t num_rows_ = 0;
  int64_t row_bytes_ = 0;
  int64_t row_stride_ = 0;
  int64_t lines_per_step_ = 0;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_LINEAR_BLOCK_H_
