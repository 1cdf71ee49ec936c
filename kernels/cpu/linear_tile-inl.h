// The inner loops of Linear: a tile of kT rows of x by kN rows of the weight, held in registers.
// For inclusion by files that Highway compiles once per target.
//
// One vector of lane sums per output. linear.h gives the order of the sum.

// Highway includes this once per target: see hwy/foreach_target.h.
#if defined(WINNOW_KERNELS_CPU_LINEAR_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_LINEAR_TILE_INL_H_
#undef WINNOW_KERNELS_CPU_LINEAR_TILE_INL_H_
#else
#define WINNOW_KERNELS_CPU_LINEAR_TILE_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// Tiles are kT rows of x by kN rows of the weight: as many sums as registers hold beside the
// operands.
#if HWY_TARGET <= HWY_AVX3
inline constexpr int kDirectTileT = 8;
inline constexpr int kBlockedTileT = 6;
#else
inline constexpr int kDirectTileT = 4;
inline constexpr int kBlockedTileT = 3;
#endif
inline constexpr int kBlockedTileN = 4;
// Up to here the direct form is faster.
inline constexpr int kMaxDirectRows = 2 * kDirectTileT;

HWY_INLINE VF LoadWeights(const float* p) { return hn::LoadU(DF(), p); }

HWY_INLINE VF LoadWeights(const BF16* p) {
  const hn::RebindToUnsigned<DF> d32;
  const hn::Rebind<uint16_t, DF> d16;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

HWY_INLINE VF LoadWeights(const F16* p) {
  const DF d;
  const hn::Rebind<uint16_t, DF> d16;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
#if HWY_TARGET <= HWY_AVX2
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, DF>(), bits));
#else
  // Highway's own conversion without F16C takes infinity and NaN for numbers. Exponent and
  // mantissa, moved to their place in float32, are too small by 2^112 (subnormals too); the largest
  // exponent becomes float32's largest.
  const hn::RebindToUnsigned<DF> d32;
  const auto wide = hn::PromoteTo(d32, bits);
  const auto magnitude = hn::BitCast(d, hn::ShiftLeft<13>(hn::And(wide, hn::Set(d32, 0x7fff))));
  const auto sign = hn::BitCast(d, hn::ShiftLeft<16>(hn::And(wide, hn::Set(d32, 0x8000))));
  const auto special = hn::BitCast(d, hn::Set(d32, 0x7f800000));
  const auto is_special = hn::Ge(magnitude, hn::BitCast(d, hn::Set(d32, 0x1fu << 23)));
  const VF value = hn::Mul(magnitude, hn::Set(d, 0x1p112f));
  return hn::Or(sign, hn::Or(value, hn::IfThenElseZero(is_special, special)));
#endif
}

// The last n < Lanes weights of a row and zeros. `p` may be misaligned for W.
template <class W>
HWY_INLINE void LoadTail(const W* p, int64_t n, float* HWY_RESTRICT to) {
  const DF d;
  for (int64_t i = 0; i < static_cast<int64_t>(hn::Lanes(d)); ++i) {
    W w{};
    if (i < n) std::memcpy(&w, reinterpret_cast<const char*>(p) + i * sizeof(W), sizeof(W));
    to[i] = i < n ? ToFloat(w) : 0.0f;
  }
}

// kN rows of a weight in memory. Asks for the rows that the next tile will read: they come too late
// otherwise, because a row is short and the hardware's prefetchers start anew with each.
template <class W, int kN>
struct WeightRows {
  const W* row[kN];
  int64_t depth;
  HWY_INLINE VF Load(int64_t i, int n) const {
    __builtin_prefetch(row[n] + i + kN * depth, 0, 2);
    return LoadWeights(row[n] + i);
  }
};

// kN rows as float32, vectors of the same place side by side.
template <int kN>
struct PackedRows {
  static constexpr int64_t kPrefetchDistance = 256;  // from the L2 cache
  const float* data;
  HWY_INLINE VF Load(int64_t i, int n) const {
    const float* p = data + i * kN + n * static_cast<int64_t>(hn::Lanes(DF()));
    __builtin_prefetch(p + kPrefetchDistance);
    return hn::Load(DF(), p);
  }
};

// As WeightRows, and keeps the float32 values for PackedRows<kN>{to}.
template <class W, int kN>
struct PackingRows {
  WeightRows<W, kN> rows;
  float* to;
  HWY_INLINE VF Load(int64_t i, int n) const {
    const VF w = rows.Load(i, n);
    hn::Store(w, DF(), to + i * kN + n * static_cast<int64_t>(hn::Lanes(DF())));
    return w;
  }
};

#if HWY_TARGET == HWY_SCALAR

// One lane: nothing to add.
HWY_INLINE void ReduceFour(const VF* v, float* HWY_RESTRICT to) {
  for (int i = 0; i < 4; ++i) to[i] = hn::GetLane(v[i]);
}

#else

// Adds the blocks of four lanes: halves, then halves of halves.
template <class D>
HWY_INLINE hn::Vec<hn::FixedTag<float, 4> > SumBlocks(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return SumBlocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// The sums of the lanes of each of v[0..3]: within blocks of four lanes (l0 + l2) + (l1 + l3), then
// over the blocks.
HWY_INLINE void ReduceFour(const VF* v, float* HWY_RESTRICT to) {
  const DF d;
  const hn::Repartition<double, DF> d64;
  const auto v01 = hn::BitCast(
      d64, hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1])));
  const auto v23 = hn::BitCast(
      d64, hn::Add(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3])));
  const VF sum = hn::Add(hn::BitCast(d, hn::InterleaveLower(d64, v01, v23)),
                         hn::BitCast(d, hn::InterleaveUpper(d64, v01, v23)));
  hn::StoreU(SumBlocks(d, sum), hn::FixedTag<float, 4>(), to);
}

#endif  // HWY_TARGET == HWY_SCALAR

// Keeps the compiler from loading v anew for each of its uses: the loads, not the multiply-adds,
// would be the limit.
HWY_INLINE VF InRegister(VF v) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && defined(__GNUC__)
  asm("" : "+v"(v.raw));
#endif
  return v;
}

template <int kT, int kN>
class Tile {
 public:
  static_assert(kT * kN % 4 == 0);

  HWY_INLINE void SetZero() {
    HWY_UNROLL(24)
    for (int i = 0; i < kT * kN; ++i) sum_[i] = hn::Zero(DF());
  }
  HWY_INLINE void Load(const float* HWY_RESTRICT from) {
    const DF d;
    HWY_UNROLL(24)
    for (int i = 0; i < kT * kN; ++i) sum_[i] = hn::Load(d, from + i * hn::Lanes(d));
  }
  HWY_INLINE void Store(float* HWY_RESTRICT to) const {
    const DF d;
    HWY_UNROLL(24)
    for (int i = 0; i < kT * kN; ++i) hn::Store(sum_[i], d, to + i * hn::Lanes(d));
  }
  // Sum of output (t, n) to to[t * kN + n].
  HWY_INLINE void Reduce(float* HWY_RESTRICT to) const {
    HWY_UNROLL(24)
    for (int i = 0; i < kT * kN; i += 4) ReduceFour(sum_ + i, to + i);
  }

  // Adds the products of elements [0, size) of the rows; size is a multiple of Lanes.
  template <class Rows>
  HWY_INLINE void Add(const float* const* x, const Rows& rows, int64_t size) {
    const int64_t lanes = hn::Lanes(DF());
    for (int64_t i = 0; i < size; i += lanes) AddVector(x, rows, i);
  }

 private:
  // The fewer operands stay in registers, the others pass through one.
  template <class Rows>
  HWY_INLINE void AddVector(const float* const* x, const Rows& rows, int64_t i) {
    const DF d;
    if constexpr (kT <= kN) {
      VF xs[kT];
      HWY_UNROLL(24) for (int t = 0; t < kT; ++t) xs[t] = hn::LoadU(d, x[t] + i);
      HWY_UNROLL(24) for (int n = 0; n < kN; ++n) {
        const VF w = InRegister(rows.Load(i, n));
        HWY_UNROLL(24) for (int t = 0; t < kT; ++t) {
          sum_[t * kN + n] = hn::MulAdd(xs[t], w, sum_[t * kN + n]);
        }
      }
    } else {
      VF ws[kN];
      HWY_UNROLL(24) for (int n = 0; n < kN; ++n) ws[n] = rows.Load(i, n);
      HWY_UNROLL(24) for (int t = 0; t < kT; ++t) {
        const VF xt = InRegister(hn::LoadU(d, x[t] + i));
        HWY_UNROLL(24) for (int n = 0; n < kN; ++n) {
          sum_[t * kN + n] = hn::MulAdd(xt, ws[n], sum_[t * kN + n]);
        }
      }
    }
  }

  VF sum_[kT * kN];
};

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // WINNOW_KERNELS_CPU_LINEAR_TILE_INL_H_
