// Attention of many queries, vectors along the lanes (see attention_task.h): for prompt pieces and
// large query groups.
//
// With queries in the lanes neither keys nor values need transposing: scores^T [key, lane] is a
// product of rows of K with the transposed queries [D, lane], the weighted sum [D, lane] a product
// of columns of V with the weights [key, lane], and maxima and sums of the softmax run down the
// columns. Both products multiply a register tile of kRows x kVecs vectors by broadcast elements of
// K and V. Flops: 4 D per visible (key, lane). Inclusion as in exp-inl.h.
#if defined(WINNOW_KERNELS_CPU_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_ATTENTION_TILE_INL_H_
#undef WINNOW_KERNELS_CPU_ATTENTION_TILE_INL_H_
#else
#define WINNOW_KERNELS_CPU_ATTENTION_TILE_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "hwy/highway.h"
#include "kernels/cpu/attention_task.h"
#include "kernels/cpu/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Rows of a register tile: with two vectors of lanes, as many sums as the registers hold beside the
// operands.
inline constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 8 : 6;

// A block of keys, copied together so that its rows lie at one stride.
struct KeyBlock {
  int size = 0;
  float* keys = nullptr;    // [size, D]
  float* values = nullptr;  // [size, D]
  int32_t begin[kKeyBlock];
  int32_t end[kKeyBlock];
};

// A tile of kVecs vectors of lanes: its part of the task's scratch.
struct LaneTile {
  float* queries = nullptr;  // [D, width], scaled for exp2
  float* sums = nullptr;     // [D, width]
  float* max = nullptr;      // [width]
  float* sum = nullptr;      // [width]
  int32_t* rows =
      nullptr;  // [width] row within the sequence; lanes beyond the task repeat its last
};

// scores[key, lane] = sum over i of keys[key, i] * queries[i, lane] for kNumRows keys.
template <int kNumRows, int kVecs, class D>
HWY_INLINE void ScoreRows(D d, const float* HWY_RESTRICT keys, int64_t head_dim,
                          const float* HWY_RESTRICT queries, float* HWY_RESTRICT scores) {
  using V = hn::Vec<D>;
  const size_t n = hn::Lanes(d);
  V sum[kNumRows][kVecs];
  HWY_UNROLL(8)
  for (int r = 0; r < kNumRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(d);
  }
  for (int64_t i = 0; i < head_dim; ++i) {
    V q[kVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) q[v] = hn::Load(d, queries + v * n);
    HWY_UNROLL(8)
    for (int r = 0; r < kNumRows; ++r) {
      const V k = hn::Set(d, keys[r * head_dim]);
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(k, q[v], sum[r][v]);
    }
    ++keys;
    queries += kVecs * n;
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kNumRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) hn::Store(sum[r][v], d, scores + (r * kVecs + v) * n);
  }
}

// sums[i, lane] = sums[i, lane] * decay[lane] + sum over keys of values[key, i] * weights[key,
// lane], for kNumRows i.
template <int kNumRows, int kVecs, class D>
HWY_INLINE void AddValueColumns(D d, const float* HWY_RESTRICT values, int64_t head_dim,
                                int num_keys, const float* HWY_RESTRICT weights,
                                const hn::Vec<D>* HWY_RESTRICT decay, float* HWY_RESTRICT sums) {
  using V = hn::Vec<D>;
  const size_t n = hn::Lanes(d);
  V sum[kNumRows][kVecs];
  HWY_UNROLL(8)
  for (int r = 0; r < kNumRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      sum[r][v] = hn::Mul(hn::Load(d, sums + (r * kVecs + v) * n), decay[v]);
    }
  }
  for (int key = 0; key < num_keys; ++key) {
    V w[kVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) w[v] = hn::Load(d, weights + v * n);
    HWY_UNROLL(8)
    for (int r = 0; r < kNumRows; ++r) {
      const V x = hn::Set(d, values[r]);
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(x, w[v], sum[r][v]);
    }
    values += head_dim;
    weights += kVecs * n;
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kNumRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) hn::Store(sum[r][v], d, sums + (r * kVecs + v) * n);
  }
}

// Calls fn.operator()<R>(row) for tiles of R = kRows rows and one smaller tile at the end that
// cover `num_rows`.
template <int kTail = kRows - 1, class Fn>
HWY_INLINE void TailRows(int64_t num_rows, int64_t row, const Fn& fn) {
  if constexpr (kTail > 0) {
    if (num_rows - row == kTail) return fn.template operator()<kTail>(row);
    TailRows<kTail - 1>(num_rows, row, fn);
  }
}
template <class Fn>
HWY_INLINE void ForRowTiles(int64_t num_rows, const Fn& fn) {
  int64_t row = 0;
  for (; row + kRows <= num_rows; row += kRows) fn.template operator()<kRows>(row);
  TailRows(num_rows, row, fn);
}

// Sets the scores of keys that a lane does not see to -infinity.
template <int kVecs, class D>
HWY_INLINE void MaskScores(D d, const KeyBlock& block, int first, int last, const LaneTile& tile,
                           float* HWY_RESTRICT scores) {
  const hn::RebindToSigned<D> di;
  const size_t n = hn::Lanes(d);
  const int32_t row_first = tile.rows[0];
  const int32_t row_last = tile.rows[kVecs * n - 1];
  const auto invisible = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int key = first; key < last; ++key, scores += kVecs * n) {
    if (block.begin[key] <= row_first && row_last < block.end[key]) continue;
    const auto begin = hn::Set(di, block.begin[key]);
    const auto end = hn::Set(di, block.end[key]);
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      const auto row = hn::Load(di, tile.rows + v * n);
      const auto hidden = hn::Or(hn::Gt(begin, row), hn::Not(hn::Gt(end, row)));
      const auto score = hn::Load(d, scores + v * n);
      hn::Store(hn::IfThenElse(hn::RebindMask(d, hidden), invisible, score), d, scores + v * n);
    }
  }
}

// Turns scores [num_keys, lane] into weights, updates maximum and sum; decay: the factor for the
// sums so far.
template <int kVecs, class D>
HWY_INLINE void SoftmaxColumns(D d, int num_keys, const LaneTile& tile, float* HWY_RESTRICT scores,
                               hn::Vec<D>* HWY_RESTRICT decay) {
  using V = hn::Vec<D>;
  const size_t n = hn::Lanes(d);
  V max[kVecs];
  V sum[kVecs];
  HWY_UNROLL(8)
  for (int v = 0; v < kVecs; ++v) {
    max[v] = hn::Load(d, tile.max + v * n);
    sum[v] = hn::Zero(d);
  }
  for (int key = 0; key < num_keys; ++key) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      max[v] = hn::Max(max[v], hn::Load(d, scores + (key * kVecs + v) * n));
    }
  }
  for (int key = 0; key < num_keys; ++key) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      float* HWY_RESTRICT score = scores + (key * kVecs + v) * n;
      const V weight = Exp2Flushed(d, hn::Sub(hn::Load(d, score), max[v]));
      hn::Store(weight, d, score);
      sum[v] = hn::Add(sum[v], weight);
    }
  }
  HWY_UNROLL(8)
  for (int v = 0; v < kVecs; ++v) {
    decay[v] = Exp2Flushed(d, hn::Sub(hn::Load(d, tile.max + v * n), max[v]));
    hn::Store(max[v], d, tile.max + v * n);
    hn::Store(hn::MulAdd(hn::Load(d, tile.sum + v * n), decay[v], sum[v]), d, tile.sum + v * n);
  }
}

// One block of keys against one tile of lanes. Only the part of the block that some lane sees is
// computed.
template <int kVecs, class D>
HWY_NOINLINE void AttendTile(D d, const KeyBlock& block, int64_t head_dim, const LaneTile& tile,
                             float* HWY_RESTRICT scores) {
  const size_t n = hn::Lanes(d);
  const int32_t row_first = tile.rows[0];
  const int32_t row_last = tile.rows[kVecs * n - 1];
  const auto seen = [&](int key) {
    return block.begin[key] <= row_last && row_first < block.end[key];
  };
  int first = 0;
  int last = block.size;
  while (first < last && !seen(first)) ++first;
  while (first < last && !seen(last - 1)) --last;
  if (first == last) return;

  const int num_keys = last - first;
  const float* keys = block.keys + first * head_dim;
  ForRowTiles(num_keys, [&]<int kNumRows>(int64_t row) HWY_ATTR {
    ScoreRows<kNumRows, kVecs>(d, keys + row * head_dim, head_dim, tile.queries,
                               scores + row * kVecs * n);
  });
  MaskScores<kVecs>(d, block, first, last, tile, scores);
  hn::Vec<D> decay[kVecs];
  SoftmaxColumns<kVecs>(d, num_keys, tile, scores, decay);
  const float* values = block.values + first * head_dim;
  ForRowTiles(head_dim, [&]<int kNumRows>(int64_t i) HWY_ATTR {
    AddValueColumns<kNumRows, kVecs>(d, values + i, head_dim, num_keys, scores, decay,
                                     tile.sums + i * kVecs * n);
  });
}

template <class D>
HWY_INLINE void CopyRow(D d, const float* HWY_RESTRICT from, int64_t size, float* HWY_RESTRICT to) {
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= size; i += n) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  for (; i < size; ++i) to[i] = from[i];
}

// Takes the block's keys together if a row in [row_begin, row_end) sees one of them.
template <class D>
HWY_INLINE bool CopyBlock(D d, const KeyRef* refs, int num_keys, int32_t row_begin, int32_t row_end,
                          int64_t head_dim, KeyBlock* block) {
  bool seen = false;
  for (int i = 0; i < num_keys; ++i) seen |= refs[i].begin < row_end && row_begin < refs[i].end;
  if (!seen) return false;
  block->size = num_keys;
  for (int i = 0; i < num_keys; ++i) {
    CopyRow(d, refs[i].key, head_dim, block->keys + i * head_dim);
    CopyRow(d, refs[i].value, head_dim, block->values + i * head_dim);
    block->begin[i] = refs[i].begin;
    block->end[i] = refs[i].end;
  }
  return true;
}

// Takes a tile's queries and clears its sums.
inline void StartTile(const AttentionArgs& args, const AttentionTask& task,
                      const LaneGeometry& lanes, int64_t first_lane, int64_t width,
                      const LaneTile& tile) {
  const int64_t head_dim = args.pages.head_dim;
  const float scale =
      static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(head_dim)));
  for (int64_t l = 0; l < width; ++l) {
    const int lane = static_cast<int>(std::min<int64_t>(first_lane + l, task.num_lanes - 1));
    const float* query = lanes.Query(args, lane);
    for (int64_t i = 0; i < head_dim; ++i) tile.queries[i * width + l] = query[i] * scale;
    tile.rows[l] = lanes.Row(lane);
    tile.max[l] = kLowestScore;
    tile.sum[l] = 0.0f;
  }
  std::memset(tile.sums, 0, static_cast<size_t>(head_dim * width) * sizeof(float));
}

inline void FinishTile(const AttentionArgs& args, const AttentionTask& task,
                       const LaneGeometry& lanes, int64_t first_lane, int64_t width,
                       const LaneTile& tile) {
  const int64_t head_dim = args.pages.head_dim;
  for (int64_t l = 0; l < std::min<int64_t>(width, task.num_lanes - first_lane); ++l) {
    const int lane = static_cast<int>(first_lane + l);
    const bool whole = task.partial == nullptr;
    float* out = whole ? lanes.Out(args, lane) : task.partial + lane * PartialStride(head_dim);
    const float factor = whole ? 1.0f / tile.sum[l] : 1.0f;
    for (int64_t i = 0; i < head_dim; ++i) out[i] = tile.sums[i * width + l] * factor;
    if (whole) continue;
    out[head_dim] = tile.max[l];
    out[head_dim + 1] = tile.sum[l];
  }
}

// All tiles of a task, kVecs vectors of lanes each. Tiles outside, blocks inside would read the
// pages once per tile; so blocks outside, tiles inside.
template <int kVecs>
HWY_NOINLINE void AttendTiles(const AttentionArgs& args, const AttentionTask& task,
                              float* scratch) {
  const hn::ScalableTag<float> d;
  const int64_t head_dim = args.pages.head_dim;
  const int64_t width = kVecs * static_cast<int64_t>(hn::Lanes(d));
  const int64_t num_tiles = (task.num_lanes + width - 1) / width;
  const LaneGeometry lanes(args, task);

  float* scores = scratch;  // [kKeyBlock, width]
  float* free = scores + kKeyBlock * width;
  LaneTile tiles[kMaxTaskLanes];
  for (int64_t i = 0; i < num_tiles; ++i) {
    LaneTile& tile = tiles[i];
    tile.queries = free;
    tile.sums = tile.queries + head_dim * width;
    tile.max = tile.sums + head_dim * width;
    tile.sum = tile.max + width;
    tile.rows = reinterpret_cast<int32_t*>(tile.sum + width);
    free = tile.sum + 2 * width;
    StartTile(args, task, lanes, i * width, width, tile);
  }
  KeyBlock block;
  block.keys = free;
  block.values = block.keys + kKeyBlock * head_dim;

  // Blocks are those of the whole sequence, whatever part of its lanes the task has: same bits for
  // any cut into tasks.
  const KeySource source(args, task.sequence, task.head);
  const int32_t row_begin = lanes.Row(0);
  const int32_t row_end = lanes.Row(task.num_lanes - 1) + 1;
  KeyRef refs[kKeyBlock];
  for (int64_t index = task.key_begin; index < task.key_end;) {
    int num_keys = 0;
    index = source.Collect(index, task.key_end, kKeyBlock, refs, &num_keys);
    if (!CopyBlock(d, refs, num_keys, row_begin, row_end, head_dim, &block)) continue;
    for (int64_t i = 0; i < num_tiles; ++i) AttendTile<kVecs>(d, block, head_dim, tiles[i], scores);
  }
  for (int64_t i = 0; i < num_tiles; ++i) FinishTile(args, task, lanes, i * width, width, tiles[i]);
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
