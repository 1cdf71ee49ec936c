// The gated delta rule token by token, for a few rows of a sequence. Inclusion as in exp-inl.h.
//
// A panel of S's columns is read once, kept in the nearest cache while the rows pass over it, and
// written once. For row t
//   y = S^T k;  d = beta (v - e^g y);  S <- e^g S + k d^T;  o = S^T q
// where one pass over the panel updates S, sums up o, and sums up the next row's y. So n rows take
// n + 1 passes. Flops: 7 Dk Dv per row. Bytes: S once in and once out for up to kDeltaRows rows.
#if defined(WINNOW_KERNELS_CPU_GATED_DELTA_RECURRENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_GATED_DELTA_RECURRENT_INL_H_
#undef WINNOW_KERNELS_CPU_GATED_DELTA_RECURRENT_INL_H_
#else
#define WINNOW_KERNELS_CPU_GATED_DELTA_RECURRENT_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/gated_delta_rows-inl.h"
#include "kernels/cpu/gated_delta_task.h"
#include "kernels/cpu/gated_delta_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Rows that pass over a panel while it is in cache.
inline constexpr int64_t kDeltaRows = 16;
// Vectors of a panel at most: more of them share the broadcasts of k and q, until registers or the
// nearest cache run out.
inline constexpr int kPassVecs = 4;
inline constexpr int64_t kPanelFloats = 8192;  // 32 KiB
// Vectors of a panel that one row alone passes over.
inline constexpr int kSingleVecs = 8;

// The rows of a block, prepared, and the panel they pass over.
struct RecurrentScratch {
  static constexpr int64_t Floats(int64_t key_dim, int64_t max_lanes) {
    return 2 * kDeltaRows * RoundUp(key_dim, kDeltaPad) + key_dim * kPassVecs * max_lanes;
  }
  RecurrentScratch(const DeltaTask& task)
      : stride(RoundUp(task.key_dim(), kDeltaPad)),
        k(task.scratch),
        q(k + kDeltaRows * stride),
        panel(q + kDeltaRows * stride) {}

  int64_t stride;
  float* k;      // [kDeltaRows, stride]
  float* q;      // [kDeltaRows, stride]
  float* panel;  // [Dk, vectors of the panel]
  float decay[kDeltaRows];
  float beta[kDeltaRows];
};

HWY_INLINE void PrepareRows(const DeltaTask& task, int64_t begin, int64_t num_rows,
                            RecurrentScratch& rows) {
  const int64_t key_dim = task.key_dim();
  const float query_scale = 1.0f / std::sqrt(static_cast<float>(key_dim));
  const DeltaGates gates(task);
  for (int64_t i = 0; i < num_rows; ++i) {
    NormaliseDeltaRow(task.k(begin + i), key_dim, 1.0f, rows.stride, rows.k + i * rows.stride);
    NormaliseDeltaRow(task.q(begin + i), key_dim, query_scale, rows.stride,
                      rows.q + i * rows.stride);
    rows.decay[i] = gates.Decay(gates.LogDecay(begin + i));
    rows.beta[i] = gates.Beta(begin + i);
  }
}

// Copies the panel's rows from S and returns S^T k in `y`. kWhole: the panel's vectors are all of
// S's columns.
template <int kVecs, bool kWhole>
HWY_INLINE void ReadPanel(const float* HWY_RESTRICT state, int64_t value_dim, int64_t cols,
                          int64_t key_dim, const float* HWY_RESTRICT k, float* HWY_RESTRICT panel,
                          DeltaVec (&y)[kVecs]) {
  const DeltaTag d;
  const size_t lanes = hn::Lanes(d);
  DeltaVec odd[kVecs];  // a second sum, against the latency of one
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) y[c] = odd[c] = hn::Zero(d);
  const auto read_row = [&](int64_t i, DeltaVec(&sum)[kVecs]) HWY_ATTR {
    DeltaVec s[kVecs];
    LoadColumns<kVecs>(state + i * value_dim, kWhole ? kVecs * static_cast<int64_t>(lanes) : cols,
                       s);
    const DeltaVec x = hn::Set(d, k[i]);
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      sum[c] = hn::MulAdd(x, s[c], sum[c]);
      hn::Store(s[c], d, panel + (i * kVecs + c) * lanes);
    }
  };
  int64_t i = 0;
  for (; i + 2 <= key_dim; i += 2) {
    read_row(i, y);
    read_row(i + 1, odd);
  }
  if (i < key_dim) read_row(i, y);
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) y[c] = hn::Add(y[c], odd[c]);
}

// S <- decay S + k delta^T; o = S^T q; y = S^T next_k. The last row of a block writes S to `state`
// and has no next.
template <int kVecs, bool kLast, bool kWhole>
HWY_INLINE void PassRow(const float* HWY_RESTRICT k, const float* HWY_RESTRICT q,
                        const float* HWY_RESTRICT next_k, float decay,
                        const DeltaVec (&delta)[kVecs], int64_t key_dim, float* HWY_RESTRICT panel,
                        float* HWY_RESTRICT state, int64_t value_dim, int64_t cols,
                        DeltaVec (&o)[kVecs], DeltaVec (&y)[kVecs]) {
  const DeltaTag d;
  const size_t lanes = hn::Lanes(d);
  const DeltaVec scale = hn::Set(d, decay);
  DeltaVec sum_o[kVecs], sum_y[kVecs], by[kVecs];
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
    sum_o[c] = sum_y[c] = hn::Zero(d);
    by[c] = delta[c];
  }
  for (int64_t i = 0; i < key_dim; ++i) {
    const DeltaVec ki = hn::Set(d, k[i]);
    const DeltaVec qi = hn::Set(d, q[i]);
    DeltaVec s[kVecs];
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      s[c] = hn::Mul(scale, hn::Load(d, panel + (i * kVecs + c) * lanes));
      s[c] = hn::MulAdd(ki, by[c], s[c]);
      sum_o[c] = hn::MulAdd(qi, s[c], sum_o[c]);
    }
    if constexpr (kLast) {
      StoreColumns<kVecs>(s, kWhole ? kVecs * static_cast<int64_t>(lanes) : cols,
                          state + i * value_dim);
    } else {
      const DeltaVec next = hn::Set(d, next_k[i]);
      WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
        sum_y[c] = hn::MulAdd(next, s[c], sum_y[c]);
        hn::Store(s[c], d, panel + (i * kVecs + c) * lanes);
      }
    }
  }
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
    o[c] = sum_o[c];
    y[c] = sum_y[c];
  }
}

// The block's rows over the columns [col, col + cols).
template <int kVecs, bool kWhole>
HWY_INLINE void PassRows(const DeltaTask& task, int64_t begin, int64_t num_rows, int64_t col,
                         int64_t cols, const RecurrentScratch& rows) {
  const DeltaTag d;
  const int64_t key_dim = task.key_dim();
  const int64_t value_dim = task.value_dim();
  float* state = task.state() + col;
  DeltaVec y[kVecs], o[kVecs], delta[kVecs];
  ReadPanel<kVecs, kWhole>(state, value_dim, cols, key_dim, rows.k, rows.panel, y);
  for (int64_t t = 0; t < num_rows; ++t) {
    LoadColumns<kVecs>(task.v(begin + t) + col, cols, delta);
    const DeltaVec decay = hn::Set(d, rows.decay[t]);
    const DeltaVec beta = hn::Set(d, rows.beta[t]);
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      delta[c] = hn::Mul(beta, hn::NegMulAdd(decay, y[c], delta[c]));
    }
    const float* k = rows.k + t * rows.stride;
    const float* q = rows.q + t * rows.stride;
    if (t + 1 < num_rows) {
      PassRow<kVecs, false, kWhole>(k, q, k + rows.stride, rows.decay[t], delta, key_dim,
                                    rows.panel, state, value_dim, cols, o, y);
    } else {
      PassRow<kVecs, true, kWhole>(k, q, k, rows.decay[t], delta, key_dim, rows.panel, state,
                                   value_dim, cols, o, y);
    }
    StoreColumns<kVecs>(o, cols, task.out(begin + t) + col);
  }
}

// One row alone: S is read twice and written once, in place and in long runs, the second time from
// a cache that holds a head. Copying panels would only cost here.
template <int kVecs, bool kWhole>
HWY_INLINE void PassSingleRow(const DeltaTask& task, int64_t row, int64_t col, int64_t cols,
                              const RecurrentScratch& rows) {
  const DeltaTag d;
  const int64_t key_dim = task.key_dim();
  const int64_t value_dim = task.value_dim();
  const int64_t touched = kWhole ? kVecs * static_cast<int64_t>(hn::Lanes(d)) : cols;
  const float* HWY_RESTRICT k = rows.k;
  const float* HWY_RESTRICT q = rows.q;
  float* HWY_RESTRICT state = task.state() + col;
  DeltaVec y[kVecs], o[kVecs], delta[kVecs];
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) y[c] = o[c] = hn::Zero(d);
  for (int64_t i = 0; i < key_dim; ++i) {
    const DeltaVec ki = hn::Set(d, k[i]);
    DeltaVec s[kVecs];
    LoadColumns<kVecs>(state + i * value_dim, touched, s);
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) y[c] = hn::MulAdd(ki, s[c], y[c]);
  }
  const DeltaVec decay = hn::Set(d, rows.decay[0]);
  const DeltaVec beta = hn::Set(d, rows.beta[0]);
  LoadColumns<kVecs>(task.v(row) + col, touched, delta);
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
    delta[c] = hn::Mul(beta, hn::NegMulAdd(decay, y[c], delta[c]));
  }
  for (int64_t i = 0; i < key_dim; ++i) {
    const DeltaVec ki = hn::Set(d, k[i]);
    const DeltaVec qi = hn::Set(d, q[i]);
    DeltaVec s[kVecs];
    LoadColumns<kVecs>(state + i * value_dim, touched, s);
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
      s[c] = hn::MulAdd(ki, delta[c], hn::Mul(decay, s[c]));
      o[c] = hn::MulAdd(qi, s[c], o[c]);
    }
    StoreColumns<kVecs>(s, touched, state + i * value_dim);
  }
  StoreColumns<kVecs>(o, touched, task.out(row) + col);
}

struct PassSingleRowInPanel {
  const DeltaTask& task;
  int64_t row;
  const RecurrentScratch& rows;

  template <int kVecs, bool kWhole>
  HWY_INLINE void operator()(int64_t col, int64_t cols) const {
    PassSingleRow<kVecs, kWhole>(task, row, col, cols, rows);
  }
};

struct PassRowsInPanel {
  const DeltaTask& task;
  int64_t begin;
  int64_t num_rows;
  const RecurrentScratch& rows;

  template <int kVecs, bool kWhole>
  HWY_INLINE void operator()(int64_t col, int64_t cols) const {
    PassRows<kVecs, kWhole>(task, begin, num_rows, col, cols, rows);
  }
};

HWY_INLINE void PassBlock(const DeltaTask& task, int64_t begin, int64_t num_rows,
                          const RecurrentScratch& rows) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(DeltaTag()));
  if (num_rows == 1) {
    const PassSingleRowInPanel pass{task, begin, rows};
    return ForPanels<kSingleVecs>(task.col_begin, task.col_end, pass);
  }
  const PassRowsInPanel pass{task, begin, num_rows, rows};
  if (kPassVecs * lanes * task.key_dim() <= kPanelFloats) {
    ForPanels<kPassVecs>(task.col_begin, task.col_end, pass);
  } else if (2 * lanes * task.key_dim() <= kPanelFloats) {
    ForPanels<2>(task.col_begin, task.col_end, pass);
  } else {
    ForPanels<1>(task.col_begin, task.col_end, pass);
  }
}

void DeltaRecurrent(const DeltaTask& task) {
  RecurrentScratch rows(task);
  for (int64_t begin = 0; begin < task.num_rows; begin += kDeltaRows) {
    const int64_t num_rows = std::min(kDeltaRows, task.num_rows - begin);
    PrepareRows(task, begin, num_rows, rows);
    PassBlock(task, begin, num_rows, rows);
  }
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
