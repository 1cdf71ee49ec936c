// The gated delta rule chunk by chunk, for prompts (arXiv 2412.06464, section 3: the WY form).
// Inclusion as in exp-inl.h.
//
// With G_i the log decays summed up from the chunk's begin to row i, and S the state before the
// chunk,
//   (I + A) D = beta (V - e^G K S)      A_ij = beta_i e^{G_i - G_j} (k_i . k_j) for j < i, else 0
//   O = e^G Q S + M D                   M_ij = e^{G_i - G_j} (q_i . k_j) for j <= i, else 0
//   S <- e^{G_last} S + (e^{G_last - G} K)^T D
// D is what the rows write, v - S^T k times beta in the recurrent form. The triangular system is
// solved by forward substitution for D itself, never by inverting I + A: fewer flops when one
// head's rows are computed by one thread, and the error stays that of the recurrence. Decays enter
// as e to differences <= 0, so none overflows and 0 * inf cannot arise.
//
// Flops per chunk of C rows: 6 C Dk Dv + 2 C^2 (Dk + Dv). S lies in panels of a few vectors of
// columns, one panel at a time in the nearest cache; all products run in register tiles.
#if defined(WINNOW_KERNELS_CPU_GATED_DELTA_CHUNKED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_GATED_DELTA_CHUNKED_INL_H_
#undef WINNOW_KERNELS_CPU_GATED_DELTA_CHUNKED_INL_H_
#else
#define WINNOW_KERNELS_CPU_GATED_DELTA_CHUNKED_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/gated_delta_rows-inl.h"
#include "kernels/cpu/gated_delta_task.h"
#include "kernels/cpu/gated_delta_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Floats between rows of [chunk, chunk] and [Dk, chunk] arrays: not a power of two, against
// conflicts in the cache.
inline constexpr int64_t kChunkStride = kDeltaChunk + kDeltaPad;

// One chunk, prepared, and the state on its way through the chunks.
struct ChunkScratch {
  static int64_t KeyStride(int64_t key_dim) { return RoundUp(key_dim, kDeltaPad) + kDeltaPad; }
  static int64_t Floats(int64_t key_dim, int64_t value_dim) {
    const int64_t padded_key = RoundUp(key_dim, kDeltaPad);
    return 2 * kDeltaChunk * KeyStride(key_dim) + padded_key * kChunkStride +
           2 * kDeltaChunk * kChunkStride + padded_key * RoundUp(value_dim, kDeltaPad) +
           2 * kDeltaChunk * kTileVecs * kDeltaPad;
  }
  explicit ChunkScratch(const DeltaTask& task)
      : key_dim(task.key_dim()),
        padded_key(RoundUp(key_dim, kDeltaPad)),
        key_stride(KeyStride(key_dim)),
        k(task.scratch),
        q(k + kDeltaChunk * key_stride),
        k_columns(q + kDeltaChunk * key_stride),
        system(k_columns + padded_key * kChunkStride),
        mix(system + kDeltaChunk * kChunkStride),
        deltas(mix + kDeltaChunk * kChunkStride),
        late_deltas(deltas + kDeltaChunk * kTileVecs * kDeltaPad),
        state(late_deltas + kDeltaChunk * kTileVecs * kDeltaPad) {}

  // Where the panel that begins at column `col` of the task stands in `state`.
  float* Panel(int64_t col) const { return state + padded_key * col; }

  const int64_t key_dim;
  const int64_t padded_key;
  const int64_t key_stride;
  int64_t num_rows = 0;  // of the chunk
  int64_t padded_rows =
      0;  // a multiple of kTileRows; the rows beyond num_rows write nothing: k, v and beta are 0

  float* k;            // [chunk, key_stride] normalised
  float* q;            // [chunk, key_stride] normalised and scaled
  float* k_columns;    // [padded_key, kChunkStride] k transposed
  float* system;       // [chunk, kChunkStride] -A
  float* mix;          // [chunk, kChunkStride] M
  float* deltas;       // [chunk, panel] D
  float* late_deltas;  // [chunk, panel] e^{G_last - G} D
  float* state;        // panels [padded_key, vectors of the panel]

  // G_i = sum_high[i] + sum_low[i]: differences of large sums keep float32 accuracy.
  HWY_ALIGN float sum_high[kDeltaChunk];
  HWY_ALIGN float sum_low[kDeltaChunk];
  float beta[kDeltaChunk];
  float decay[kDeltaChunk];       // e^{G_i}
  float late_decay[kDeltaChunk];  // e^{G_last - G_i}
};

// e^x for x <= 0, without denormal results.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpOfDecay(D d, V x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, kMinLogDecay)), Exp(d, x));
}

// to[j, i] = from[i, j] for i < rows, j < cols, both rounded up to a multiple of 4.
HWY_INLINE void Transpose(const float* HWY_RESTRICT from, int64_t from_stride, int64_t rows,
                          int64_t cols, float* HWY_RESTRICT to, int64_t to_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < RoundUp(rows, 4); ++i) {
    for (int64_t j = 0; j < RoundUp(cols, 4); ++j)
      to[j * to_stride + i] = from[i * from_stride + j];
  }
#else
  const hn::FixedTag<float, 4> d;
  for (int64_t j = 0; j < cols; j += 4) {
    for (int64_t i = 0; i < rows; i += 4) {
      const float* HWY_RESTRICT source = from + i * from_stride + j;
      const auto r0 = hn::Load(d, source);
      const auto r1 = hn::Load(d, source + from_stride);
      const auto r2 = hn::Load(d, source + 2 * from_stride);
      const auto r3 = hn::Load(d, source + 3 * from_stride);
      const auto low02 = hn::InterleaveLower(d, r0, r2);
      const auto low13 = hn::InterleaveLower(d, r1, r3);
      const auto high02 = hn::InterleaveUpper(d, r0, r2);
      const auto high13 = hn::InterleaveUpper(d, r1, r3);
      float* HWY_RESTRICT target = to + j * to_stride + i;
      hn::Store(hn::InterleaveLower(d, low02, low13), d, target);
      hn::Store(hn::InterleaveUpper(d, low02, low13), d, target + to_stride);
      hn::Store(hn::InterleaveLower(d, high02, high13), d, target + 2 * to_stride);
      hn::Store(hn::InterleaveUpper(d, high02, high13), d, target + 3 * to_stride);
    }
  }
#endif
}

HWY_INLINE void PrepareGates(const DeltaTask& task, int64_t begin, ChunkScratch& chunk) {
  const DeltaTag d;
  const DeltaGates gates(task);
  double sum = 0;
  for (int64_t i = 0; i < kDeltaChunk; ++i) {
    const bool real = i < chunk.num_rows;
    if (real) sum += gates.LogDecay(begin + i);
    chunk.beta[i] = real ? gates.Beta(begin + i) : 0.0f;
    chunk.sum_high[i] = static_cast<float>(sum);
    chunk.sum_low[i] = static_cast<float>(sum - chunk.sum_high[i]);
  }
  const auto last_high = hn::Set(d, chunk.sum_high[kDeltaChunk - 1]);
  const auto last_low = hn::Set(d, chunk.sum_low[kDeltaChunk - 1]);
  for (int64_t i = 0; i < kDeltaChunk; i += hn::Lanes(d)) {
    const auto high = hn::Load(d, chunk.sum_high + i);
    const auto low = hn::Load(d, chunk.sum_low + i);
    hn::StoreU(ExpOfDecay(d, high), d, chunk.decay + i);
    const auto rest = hn::Add(hn::Sub(last_high, high), hn::Sub(last_low, low));
    hn::StoreU(ExpOfDecay(d, rest), d, chunk.late_decay + i);
  }
}

HWY_INLINE void PrepareChunk(const DeltaTask& task, int64_t begin, int64_t num_rows,
                             ChunkScratch& chunk) {
  chunk.num_rows = num_rows;
  chunk.padded_rows = RoundUp(num_rows, kTileRows);
  const float query_scale = 1.0f / std::sqrt(static_cast<float>(chunk.key_dim));
  for (int64_t i = 0; i < num_rows; ++i) {
    float* k = chunk.k + i * chunk.key_stride;
    float* q = chunk.q + i * chunk.key_stride;
    NormaliseDeltaRow(task.k(begin + i), chunk.key_dim, 1.0f, chunk.padded_key, k);
    NormaliseDeltaRow(task.q(begin + i), chunk.key_dim, query_scale, chunk.padded_key, q);
  }
  // The products with k_columns take whole vectors of rows.
  for (int64_t i = num_rows; i < RoundUp(num_rows, kDeltaPad); ++i) {
    std::fill_n(chunk.k + i * chunk.key_stride, chunk.padded_key, 0.0f);
    std::fill_n(chunk.q + i * chunk.key_stride, chunk.padded_key, 0.0f);
  }
  Transpose(chunk.k, chunk.key_stride, RoundUp(num_rows, kDeltaPad), chunk.padded_key,
            chunk.k_columns, kChunkStride);
  PrepareGates(task, begin, chunk);
}

// Rows [row, row + kTileRows) of k k^T and q k^T, columns [col, col + kVecs vectors).
template <int kVecs>
HWY_INLINE void MultiplyKeys(const ChunkScratch& chunk, const float* HWY_RESTRICT from, int64_t row,
                             int64_t col, float* HWY_RESTRICT to) {
  const DeltaTag d;
  const size_t lanes = hn::Lanes(d);
  DeltaTile<kTileRows, kVecs> tile;
  ZeroTile<kTileRows, kVecs>(tile);
  AddProduct<kTileRows, kVecs>(from + row * chunk.key_stride, chunk.key_stride,
                               chunk.k_columns + col, kChunkStride, chunk.key_dim, tile);
  WINNOW_UNROLL for (int i = 0; i < kTileRows; ++i) {
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      hn::Store(tile[i][c], d, to + (row + i) * kChunkStride + col + c * lanes);
    }
  }
}

struct MultiplyKeysInPanel {
  const ChunkScratch& chunk;
  int64_t row;

  template <int kVecs, bool>
  HWY_INLINE void operator()(int64_t col, int64_t) const {
    MultiplyKeys<kVecs>(chunk, chunk.k, row, col, chunk.system);
    MultiplyKeys<kVecs>(chunk, chunk.q, row, col, chunk.mix);
  }
};

// Turns row `row` of k k^T into that of -A and row `row` of q k^T into that of M, for columns below
// `end`.
HWY_INLINE void WeighRow(const ChunkScratch& chunk, int64_t row, int64_t end) {
  const DeltaTag d;
  const auto high = hn::Set(d, chunk.sum_high[row]);
  const auto low = hn::Set(d, chunk.sum_low[row]);
  const auto minus_beta = hn::Set(d, -chunk.beta[row]);
  const auto self = hn::Set(d, static_cast<float>(row));
  float* HWY_RESTRICT system = chunk.system + row * kChunkStride;
  float* HWY_RESTRICT mix = chunk.mix + row * kChunkStride;
  for (int64_t j = 0; j < end; j += hn::Lanes(d)) {
    const auto difference = hn::Add(hn::Sub(high, hn::Load(d, chunk.sum_high + j)),
                                    hn::Sub(low, hn::Load(d, chunk.sum_low + j)));
    // Later columns have differences > 0; they are masked below.
    const auto decay = ExpOfDecay(d, hn::Min(difference, hn::Zero(d)));
    const auto index = hn::Iota(d, static_cast<float>(j));
    const auto a = hn::Mul(hn::Mul(minus_beta, decay), hn::Load(d, system + j));
    const auto m = hn::Mul(decay, hn::Load(d, mix + j));
    hn::Store(hn::IfThenElseZero(hn::Lt(index, self), a), d, system + j);
    hn::Store(hn::IfThenElseZero(hn::Le(index, self), m), d, mix + j);
  }
}

HWY_INLINE void PrepareSystem(const ChunkScratch& chunk) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(DeltaTag()));
  for (int64_t row = 0; row < chunk.padded_rows; row += kTileRows) {
    const int64_t end = RoundUp(row + kTileRows, lanes);
    ForPanels<kTileVecs>(0, end, MultiplyKeysInPanel{chunk, row});
    for (int64_t i = row; i < row + kTileRows; ++i) WeighRow(chunk, i, end);
  }
}

// Rows [row, row + kTileRows) of D, given all earlier ones.
template <int kVecs>
HWY_INLINE void SolveRows(const DeltaTask& task, const ChunkScratch& chunk, int64_t begin,
                          int64_t col, int64_t cols, const float* HWY_RESTRICT state, int64_t row) {
  const DeltaTag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kRows = kTileRows;
  DeltaTile<kRows, kVecs> tile;
  ZeroTile<kRows, kVecs>(tile);
  AddProduct<kRows, kVecs>(chunk.k + row * chunk.key_stride, chunk.key_stride, state, kVecs * lanes,
                           chunk.key_dim, tile);
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    DeltaVec v[kVecs];
    if (row + i < chunk.num_rows) {
      LoadColumns<kVecs>(task.v(begin + row + i) + col, cols, v);
    } else {
      WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) v[c] = hn::Zero(d);
    }
    const DeltaVec decay = hn::Set(d, chunk.decay[row + i]);
    const DeltaVec beta = hn::Set(d, chunk.beta[row + i]);
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      tile[i][c] = hn::Mul(beta, hn::NegMulAdd(decay, tile[i][c], v[c]));
    }
  }
  const float* HWY_RESTRICT system = chunk.system + row * kChunkStride;
  AddProduct<kRows, kVecs>(system, kChunkStride, chunk.deltas, kVecs * lanes, row, tile);
  WINNOW_UNROLL for (int j = 0; j < kRows; ++j) {
    WINNOW_UNROLL for (int i = j + 1; i < kRows; ++i) {
      const DeltaVec a = hn::Set(d, system[i * kChunkStride + row + j]);
      WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) tile[i][c] =
          hn::MulAdd(a, tile[j][c], tile[i][c]);
    }
  }
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    const DeltaVec late = hn::Set(d, chunk.late_decay[row + i]);
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      const int64_t at = ((row + i) * kVecs + c) * lanes;
      hn::Store(tile[i][c], d, chunk.deltas + at);
      hn::Store(hn::Mul(late, tile[i][c]), d, chunk.late_deltas + at);
    }
  }
}

// Rows [row, row + kTileRows) of O.
template <int kVecs>
HWY_INLINE void OutputRows(const DeltaTask& task, const ChunkScratch& chunk, int64_t begin,
                           int64_t col, int64_t cols, const float* HWY_RESTRICT state,
                           int64_t row) {
  const DeltaTag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kRows = kTileRows;
  DeltaTile<kRows, kVecs> tile;
  ZeroTile<kRows, kVecs>(tile);
  AddProduct<kRows, kVecs>(chunk.q + row * chunk.key_stride, chunk.key_stride, state, kVecs * lanes,
                           chunk.key_dim, tile);
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    const DeltaVec decay = hn::Set(d, chunk.decay[row + i]);
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) tile[i][c] = hn::Mul(decay, tile[i][c]);
  }
  AddProduct<kRows, kVecs>(chunk.mix + row * kChunkStride, kChunkStride, chunk.deltas,
                           kVecs * lanes, row + kRows, tile);
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    if (row + i < chunk.num_rows)
      StoreColumns<kVecs>(tile[i], cols, task.out(begin + row + i) + col);
  }
}

// Rows [row, row + kTileRows) of the panel of S.
template <int kVecs>
HWY_INLINE void UpdateRows(const ChunkScratch& chunk, int64_t row, float* HWY_RESTRICT state) {
  const DeltaTag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kRows = kTileRows;
  const DeltaVec decay = hn::Set(d, chunk.decay[kDeltaChunk - 1]);
  DeltaTile<kRows, kVecs> tile;
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      tile[i][c] = hn::Mul(decay, hn::Load(d, state + ((row + i) * kVecs + c) * lanes));
    }
  }
  AddProduct<kRows, kVecs>(chunk.k_columns + row * kChunkStride, kChunkStride, chunk.late_deltas,
                           kVecs * lanes, chunk.padded_rows, tile);
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      hn::Store(tile[i][c], d, state + ((row + i) * kVecs + c) * lanes);
    }
  }
}

// The chunk over one panel of columns.
struct PassChunk {
  const DeltaTask& task;
  const ChunkScratch& chunk;
  int64_t begin;  // the chunk's first row

  template <int kVecs, bool>
  HWY_INLINE void operator()(int64_t col, int64_t cols) const {
    float* state = chunk.Panel(col - task.col_begin);
    for (int64_t row = 0; row < chunk.padded_rows; row += kTileRows) {
      SolveRows<kVecs>(task, chunk, begin, col, cols, state, row);
    }
    for (int64_t row = 0; row < chunk.padded_rows; row += kTileRows) {
      OutputRows<kVecs>(task, chunk, begin, col, cols, state, row);
    }
    for (int64_t row = 0; row < chunk.key_dim; row += kTileRows)
      UpdateRows<kVecs>(chunk, row, state);
  }
};

// Copies the columns of S into panels, padded with zeros, and back.
struct LoadPanel {
  const DeltaTask& task;
  const ChunkScratch& chunk;

  template <int kVecs, bool>
  HWY_INLINE void operator()(int64_t col, int64_t cols) const {
    const DeltaTag d;
    const size_t lanes = hn::Lanes(d);
    float* panel = chunk.Panel(col - task.col_begin);
    for (int64_t i = 0; i < chunk.padded_key; ++i) {
      DeltaVec s[kVecs];
      // The rows beyond key_dim have no columns.
      LoadColumns<kVecs>(task.state() + i * task.value_dim() + col, i < chunk.key_dim ? cols : 0,
                         s);
      WINNOW_UNROLL for (int c = 0; c < kVecs; ++c)
          hn::Store(s[c], d, panel + (i * kVecs + c) * lanes);
    }
  }
};

struct StorePanel {
  const DeltaTask& task;
  const ChunkScratch& chunk;

  template <int kVecs, bool>
  HWY_INLINE void operator()(int64_t col, int64_t cols) const {
    const DeltaTag d;
    const size_t lanes = hn::Lanes(d);
    const float* panel = chunk.Panel(col - task.col_begin);
    for (int64_t i = 0; i < chunk.key_dim; ++i) {
      DeltaVec s[kVecs];
      WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) s[c] =
          hn::Load(d, panel + (i * kVecs + c) * lanes);
      StoreColumns<kVecs>(s, cols, task.state() + i * task.value_dim() + col);
    }
  }
};

void DeltaChunked(const DeltaTask& task) {
  ChunkScratch chunk(task);
  const int64_t first_position = task.args->batch.positions[task.first_row];
  ForPanels<kTileVecs>(task.col_begin, task.col_end, LoadPanel{task, chunk});
  for (int64_t begin = 0; begin < task.num_rows;) {
    const int64_t whole = kDeltaChunk - (first_position + begin) % kDeltaChunk;
    const int64_t num_rows = std::min(whole, task.num_rows - begin);
    PrepareChunk(task, begin, num_rows, chunk);
    PrepareSystem(chunk);
    ForPanels<kTileVecs>(task.col_begin, task.col_end, PassChunk{task, chunk, begin});
    begin += num_rows;
  }
  ForPanels<kTileVecs>(task.col_begin, task.col_end, StorePanel{task, chunk});
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
