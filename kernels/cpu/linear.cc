#include "kernels/cpu/linear.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/check.h"
#include "kernels/cpu/linear_block.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/linear_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

// x[t] of a tile of kT rows; the rows after the last repeat it.
template <int kT>
struct TileX {
  const float* row[kT];
  TileX(const float* x, int64_t stride, int64_t num_rows) {
    for (int t = 0; t < kT; ++t) row[t] = x + std::min<int64_t>(t, num_rows - 1) * stride;
  }
};

// Rows n0 .. of the weight from element `begin` on; the rows after the last repeat it.
template <class W, int kN>
HWY_INLINE WeightRows<W, kN> RowsFrom(const LinearBlock& b, int64_t n0, int64_t begin) {
  WeightRows<W, kN> w;
  w.depth = b.depth;
  for (int n = 0; n < kN; ++n) {
    w.row[n] = static_cast<const W*>(b.w) + std::min(n0 + n, b.num_cols - 1) * b.depth + begin;
  }
  return w;
}

// Where a tile's sums go: the part of them that exists is added to what the parts of the depth
// before gave.
template <int kT, int kN>
HWY_INLINE void StoreTile(const LinearBlock& b, int64_t t0, int64_t n0, bool is_first_part,
                          const Tile<kT, kN>& tile) {
  HWY_ALIGN float sums[kT * kN];
  tile.Reduce(sums);
  const int64_t num_rows = std::min<int64_t>(kT, b.num_rows - t0);
  const int64_t num_cols = std::min<int64_t>(kN, b.num_cols - n0);
  for (int64_t t = 0; t < num_rows; ++t) {
    float* out = b.out + (t0 + t) * b.out_stride + n0;
    const float* sum = sums + t * kN;
    if (!is_first_part) {
      for (int64_t n = 0; n < num_cols; ++n) out[n] += sum[n];
    } else if (num_cols == kN) {
      HWY_UNROLL(8) for (int n = 0; n < kN; ++n) out[n] = sum[n];
    } else {
      for (int64_t n = 0; n < num_cols; ++n) out[n] = sum[n];
    }
  }
}

// Weights from where they lie. REQUIRES b.num_rows <= kT.
template <class W, int kT, int kN>
void DirectTiles(const LinearBlock& b) {
  const int64_t lanes = hn::Lanes(DF());
  const DepthParts parts(b.depth, lanes);
  const int64_t full = b.depth / lanes * lanes;
  HWY_ALIGN float x_tail[kT * kMaxLanes];
  HWY_ALIGN float w_tail[kN * kMaxLanes];
  const TileX<kT> x_rows(b.x, b.x_stride, b.num_rows);
  for (int t = 0; t < kT; ++t) LoadTail(x_rows.row[t] + full, b.depth - full, x_tail + t * lanes);

  for (int64_t n0 = 0; n0 < b.num_cols; n0 += kN) {
    for (int64_t part = 0; part < parts.size(); ++part) {
      const int64_t begin = parts.Begin(part);
      const int64_t end = std::min(full, parts.Begin(part + 1));
      const TileX<kT> x(b.x + begin, b.x_stride, b.num_rows);
      const WeightRows<W, kN> w = RowsFrom<W, kN>(b, n0, begin);
      Tile<kT, kN> tile;
      tile.SetZero();
      tile.Add(x.row, w, end - begin);
      if (end < parts.Begin(part + 1)) {
        WeightRows<float, kN> tail{.row = {}, .depth = 0};
        for (int n = 0; n < kN; ++n) {
          tail.row[n] = w_tail + n * lanes;
          LoadTail(w.row[n] + end - begin, b.depth - end, w_tail + n * lanes);
        }
        tile.Add(TileX<kT>(x_tail, lanes, kT).row, tail, lanes);
      }
      StoreTile(b, 0, n0, part == 0, tile);
    }
  }
}

template <class W>
void DirectRows(const LinearBlock& b) {
  if (b.num_rows == 1) return DirectTiles<W, 1, 8>(b);
#if HWY_TARGET <= HWY_AVX3
  if (b.num_rows == 2) return DirectTiles<W, 2, 8>(b);
  if (b.num_rows <= 4) return DirectTiles<W, 4, 6>(b);
  return DirectTiles<W, 8, 3>(b);
#else
  if (b.num_rows == 2) return DirectTiles<W, 2, 6>(b);
  return DirectTiles<W, 4, 3>(b);
#endif
}

template <class W>
void Direct(const LinearBlock& b) {
  if (b.num_rows <= kDirectTileT) return DirectRows<W>(b);
  // Few columns at a time, so that all but the first rows find their weights in the cache.
  for (int64_t n0 = 0; n0 < b.num_cols; n0 += kDirectCols) {
    const LinearBlock columns = b.Columns(n0, std::min(kDirectCols, b.num_cols - n0));
    for (int64_t t0 = 0; t0 < b.num_rows; t0 += kDirectTileT) {
      DirectRows<W>(columns.Rows(t0, std::min<int64_t>(kDirectTileT, b.num_rows - t0)));
    }
  }
}

// One part of the depth of a block in the blocked form.
struct BlockPart {
  const LinearBlock& b;
  int64_t begin;
  int64_t size;   // a multiple of lanes
  int64_t full;   // of size: the vectors that lie within the depth
  float* w;       // [num_cols / kN][size / lanes][kN][lanes], kN = kBlockedTileN: converted weights
  float* x_tail;  // [kBlockedTileT, lanes]

  bool has_tail() const { return full != size; }
};

// x of the kBlockedTileT rows that follow row t0.
inline Lookahead NextX(const BlockPart& p, int64_t t0) {
  // All of x stays in the L2 cache.
  if (p.b.num_rows * p.size <= kMaxBlockCols * DepthParts::kMaxDepth) return Lookahead();
  return Lookahead(p.b.x + t0 * p.b.x_stride + p.begin,
                   std::min<int64_t>(kBlockedTileT, p.b.num_rows - t0), p.size * sizeof(float),
                   p.b.x_stride * sizeof(float), p.b.num_cols / kBlockedTileN);
}

// kT rows from t0 on with all columns. kPack: the first rows of the block, which fill p.w.
template <class W, int kT, bool kPack>
void BlockedRows(const BlockPart& p, int64_t t0, Lookahead& next_w) {
  constexpr int kN = kBlockedTileN;
  const LinearBlock& b = p.b;
  const int64_t lanes = hn::Lanes(DF());
  const TileX<kT> x(b.x + t0 * b.x_stride + p.begin, b.x_stride, b.num_rows - t0);
  const TileX<kT> x_tail(p.x_tail, lanes, kT);
  for (int t = 0; t < kT && p.has_tail(); ++t) {
    LoadTail(x.row[t] + p.full, b.depth - p.begin - p.full, p.x_tail + t * lanes);
  }
  Lookahead next_x = NextX(p, t0 + kT);
  float* packed = p.w;
  for (int64_t n0 = 0; n0 < b.num_cols; n0 += kN, packed += kN * p.size) {
    Tile<kT, kN> tile;
    tile.SetZero();
    if constexpr (kPack) {
      const WeightRows<W, kN> rows = RowsFrom<W, kN>(b, n0, p.begin);
      tile.Add(x.row, PackingRows<W, kN>{rows, packed}, p.full);
      for (int n = 0; n < kN && p.has_tail(); ++n) {
        LoadTail(rows.row[n] + p.full, b.depth - p.begin - p.full,
                 packed + p.full * kN + n * lanes);
      }
    } else {
      tile.Add(x.row, PackedRows<kN>{packed}, p.full);
      next_w.Step();
    }
    if (p.has_tail()) tile.Add(x_tail.row, PackedRows<kN>{packed + p.full * kN}, lanes);
    next_x.Step();
    StoreTile(b, t0, n0, p.begin == 0, tile);
  }
}

template <class W>
void BlockedPart(const BlockPart& p, Lookahead next_w) {
  constexpr int kT = kBlockedTileT;
  BlockedRows<W, kT, true>(p, 0, next_w);
  int64_t t0 = kT;
  for (; p.b.num_rows - t0 >= kT; t0 += kT) BlockedRows<W, kT, false>(p, t0, next_w);
  const int64_t rest = p.b.num_rows - t0;
  if (rest > 4) return BlockedRows<W, kT, false>(p, t0, next_w);
  if (rest > 2) return BlockedRows<W, 4, false>(p, t0, next_w);
  if (rest > 0) return BlockedRows<W, 2, false>(p, t0, next_w);
}

// The weights that a block needs next, while all but the first rows of `p` are computed.
template <class W>
Lookahead NextWeights(const LinearBlock& all, const BlockPart& p, int64_t next_n0,
                      int64_t next_begin) {
  const int64_t num_cols = std::min(p.b.num_cols, all.num_cols - next_n0);
  const int64_t num_tiles = p.b.num_rows / kBlockedTileT * (p.b.num_cols / kBlockedTileN);
  return Lookahead(static_cast<const W*>(all.w) + next_n0 * all.depth + next_begin, num_cols,
                   p.size * sizeof(W), all.depth * sizeof(W), num_tiles);
}

template <class W>
void Blocked(const LinearBlock& all, float* scratch) {
  const int64_t lanes = hn::Lanes(DF());
  const int64_t full = all.depth / lanes * lanes;
  const DepthParts parts(all.depth, lanes);
  for (int64_t n0 = 0; n0 < all.num_cols; n0 += kMaxBlockCols) {
    const LinearBlock b = all.Columns(n0, std::min(kMaxBlockCols, all.num_cols - n0));
    for (int64_t i = 0; i < parts.size(); ++i) {
      const int64_t begin = parts.Begin(i);
      const int64_t size = parts.Begin(i + 1) - begin;
      const BlockPart part{
          b, begin, size, std::min(size, full - begin), scratch + kTailScratch, scratch};
      const bool is_last = i + 1 == parts.size();
      BlockedPart<W>(part, NextWeights<W>(all, part, is_last ? n0 + b.num_cols : n0,
                                          is_last ? 0 : begin + size));
    }
  }
}

template <class W>
void Compute(const LinearBlock& b, float* scratch) {
  if (b.num_rows <= kMaxDirectRows) {
    Direct<W>(b);
  } else {
    Blocked<W>(b, scratch);
  }
}

void ComputeBlock(const LinearBlock& b, float* scratch) {
  switch (b.w_dtype) {
    case DType::kBF16:
      return Compute<BF16>(b, scratch);
    case DType::kF16:
      return Compute<F16>(b, scratch);
    case DType::kF32:
      return Compute<float>(b, scratch);
    default:
      WINNOW_CHECK(false) << DTypeName(b.w_dtype) << " weights";
  }
}

int64_t MaxDirectRows() { return kMaxDirectRows; }

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::cpu {
namespace {

HWY_EXPORT(ComputeBlock);
HWY_EXPORT(MaxDirectRows);

// Each thread gets about this many tasks, so that a late one does not keep the others waiting for
// long.
constexpr int64_t kTasksPerThread = 4;
// Multiples of most tiles' columns and of the blocked form's rows.
constexpr int64_t kColumnUnit = 8;
constexpr int64_t kRowUnit = 6;
constexpr int64_t kMinDirectTaskBytes = 32 << 10;
// Blocks of fewer rows spend too much on converting the weights.
constexpr int64_t kMinBlockRows = 64;

void AddBias(const LinearBlock& b) {
  if (b.bias == nullptr) return;
  for (int64_t t = 0; t < b.num_rows; ++t) {
    for (int64_t n = 0; n < b.num_cols; ++n) b.out[t * b.out_stride + n] += b.bias[n];
  }
}

void CheckShapes(const LinearArgs& args) {
  const WeightMatrix& w = args.weight;
  WINNOW_CHECK(args.x.rank == 2 && args.out.rank == 2);
  WINNOW_CHECK(args.x.dim(1) == w.cols) << "x of " << args.x.dim(1) << ", weight of " << w.cols;
  WINNOW_CHECK(args.out.dim(1) == w.rows) << "out of " << args.out.dim(1) << ", " << w.rows;
  WINNOW_CHECK(args.out.dim(0) == args.x.dim(0));
}

// Rows and columns of a task.
struct TaskShape {
  int64_t rows = 0;
  int64_t cols = 0;
};

TaskShape ChooseTaskShape(const WeightMatrix& w, int64_t num_rows, int num_threads) {
  const int64_t num_tasks = num_threads * kTasksPerThread;
  const int64_t share = RoundUp((w.rows + num_tasks - 1) / num_tasks, kColumnUnit);
  if (num_rows <= HWY_DYNAMIC_DISPATCH(MaxDirectRows)()) {
    const int64_t row_bytes = std::max<int64_t>(1, w.cols * DTypeBytes(w.dtype));
    return {num_rows, std::max(share, RoundUp(kMinDirectTaskBytes / row_bytes, kColumnUnit))};
  }
  const int64_t col_tasks = (w.rows + share - 1) / share;
  const int64_t row_tasks = (num_tasks + col_tasks - 1) / col_tasks;
  return {std::max(kMinBlockRows, RoundUp((num_rows + row_tasks - 1) / row_tasks, kRowUnit)),
          share};
}

}  // namespace

void Linear(ThreadPool& pool, const LinearArgs& args) {
  CheckShapes(args);
  const WeightMatrix& w = args.weight;
  const int64_t num_rows = args.x.dim(0);
  if (num_rows == 0 || w.rows == 0) return;
  const TaskShape shape = ChooseTaskShape(w, num_rows, pool.num_threads());
  const int64_t row_tasks = (num_rows + shape.rows - 1) / shape.rows;
  const int64_t col_tasks = (w.rows + shape.cols - 1) / shape.cols;
  const float* x = args.x.data<float>();
  float* out = args.out.data<float>();

  // Tasks that share weights follow each other.
  pool.Run(row_tasks * col_tasks, [&](int64_t task, int thread) {
    const int64_t t0 = task % row_tasks * shape.rows;
    const int64_t n0 = task / row_tasks * shape.cols;
    LinearBlock b;
    b.x = x + t0 * args.x.row_stride;
    b.x_stride = args.x.row_stride;
    b.num_rows = std::min(shape.rows, num_rows - t0);
    b.w = static_cast<const std::byte*>(w.data) + n0 * w.cols * DTypeBytes(w.dtype);
    b.w_dtype = w.dtype;
    b.num_cols = std::min(shape.cols, w.rows - n0);
    b.depth = w.cols;
    b.bias = w.bias == nullptr ? nullptr : w.bias + n0;
    b.out = out + t0 * args.out.row_stride + n0;
    b.out_stride = args.out.row_stride;
    float* scratch = pool.ThreadScratch(thread, kBlockScratch);
    HWY_DYNAMIC_DISPATCH(ComputeBlock)(b, scratch);
    AddBias(b);
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
