// Register tiles of the gated delta rule's kernels: a few vectors of S's columns, loaded, stored
// and multiplied. Inclusion as in exp-inl.h.
//
// Every sum runs over its terms in order within one accumulator, so an element's bits depend
// neither on the tile that computes it nor on its place in the tile.
#if defined(WINNOW_KERNELS_CPU_GATED_DELTA_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_GATED_DELTA_TILE_INL_H_
#undef WINNOW_KERNELS_CPU_GATED_DELTA_TILE_INL_H_
#else
#define WINNOW_KERNELS_CPU_GATED_DELTA_TILE_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/partial-inl.h"

// The tiles live in registers only if loops over them are unrolled before the compiler places
// arrays in memory.
#define WINNOW_UNROLL _Pragma("GCC unroll 16")

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DeltaTag = hn::ScalableTag<float>;
using DeltaVec = hn::Vec<DeltaTag>;

// A tile of kTileRows x kTileVecs sums, with its operands, fills the registers: 32 of AVX-512, 16
// elsewhere.
inline constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
inline constexpr int kTileVecs = HWY_TARGET <= HWY_AVX3 ? 2 : 3;

template <int kRows, int kVecs>
using DeltaTile = DeltaVec[kRows][kVecs];

// tile[i] += sum over j < num of a[i * lda + j] * b[j * ldb ...]: b's rows hold kVecs aligned
// vectors.
template <int kRows, int kVecs>
HWY_INLINE void AddProduct(const float* HWY_RESTRICT a, int64_t lda, const float* HWY_RESTRICT b,
                           int64_t ldb, int64_t num, DeltaTile<kRows, kVecs>& tile) {
  const DeltaTag d;
  const size_t lanes = hn::Lanes(d);
  DeltaTile<kRows, kVecs> sum;
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) sum[i][c] = tile[i][c];
  }
  for (int64_t j = 0; j < num; ++j) {
    DeltaVec row[kVecs];
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) row[c] = hn::Load(d, b + j * ldb + c * lanes);
    WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
      const DeltaVec x = hn::Set(d, a[i * lda + j]);
      WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) sum[i][c] = hn::MulAdd(x, row[c], sum[i][c]);
    }
  }
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) tile[i][c] = sum[i][c];
  }
}

template <int kRows, int kVecs>
HWY_INLINE void ZeroTile(DeltaTile<kRows, kVecs>& tile) {
  WINNOW_UNROLL for (int i = 0; i < kRows; ++i) {
    WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) tile[i][c] = hn::Zero(DeltaTag());
  }
}

// kVecs vectors from `from`, of which the first `cols` floats may be touched; zeros beyond.
template <int kVecs>
HWY_INLINE void LoadColumns(const float* from, int64_t cols, DeltaVec (&to)[kVecs]) {
  const DeltaTag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
    const int64_t left = cols - c * lanes;
    if (left >= lanes) {
      to[c] = hn::LoadU(d, from + c * lanes);
    } else {
      to[c] = left > 0 ? LoadFirst(d, from + c * lanes, left) : hn::Zero(d);
    }
  }
}

template <int kVecs>
HWY_INLINE void StoreColumns(const DeltaVec (&from)[kVecs], int64_t cols, float* to) {
  const DeltaTag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  WINNOW_UNROLL for (int c = 0; c < kVecs; ++c) {
    const int64_t left = cols - c * lanes;
    if (left >= lanes) {
      hn::StoreU(from[c], d, to + c * lanes);
    } else if (left > 0) {
      StoreFirst(from[c], d, to + c * lanes, left);
    }
  }
}

// Calls fn.template operator()<kVecs, kWhole>(col, cols) for panels of columns that cover
// [begin, end): kMaxVecs vectors wide as long as they fit, then half as many and so on; only the
// last one, of one vector, may be narrower than its vectors (kWhole false).
template <int kMaxVecs, class Fn>
HWY_INLINE void ForPanels(int64_t begin, int64_t end, const Fn& fn) {
  const int64_t width = kMaxVecs * static_cast<int64_t>(hn::Lanes(DeltaTag()));
  for (; end - begin >= width; begin += width) {
    fn.template operator()<kMaxVecs, true>(begin, width);
  }
  if constexpr (kMaxVecs > 1) {
    ForPanels<kMaxVecs / 2>(begin, end, fn);
  } else if (begin < end) {
    fn.template operator()<1, false>(begin, end - begin);
  }
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
