// The router's convolutions and projection in vectors along the output channels. Inclusion as in
// exp-inl.h.
#if defined(WINNOW_KERNELS_CPU_ROUTER_CONV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_ROUTER_CONV_INL_H_
#undef WINNOW_KERNELS_CPU_ROUTER_CONV_INL_H_
#else
#define WINNOW_KERNELS_CPU_ROUTER_CONV_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/partial-inl.h"
#include "kernels/cpu/router_conv.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// y[row + r, col ...] for a tile of kNumRows rows and kVecs vectors; of the last vector `partial`
// lanes if not 0.
template <int kNumRows, int kVecs, bool kPartial, class D>
HWY_INLINE void ConvTile(D d, const ConvRows& conv, int64_t row, int64_t col, size_t partial) {
  using V = hn::Vec<D>;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const auto load = [&](const float* from) HWY_ATTR {
    if constexpr (kPartial) return LoadFirst(d, from, partial);
    return hn::LoadU(d, from);
  };
  V sum[kNumRows][kVecs];
  HWY_UNROLL(8)
  for (int r = 0; r < kNumRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = load(conv.bias + col + v * n);
  }
  const float* HWY_RESTRICT weight = conv.weight + col;
  const int64_t x_stride = conv.x_stride;
  for (int64_t tap = 0; tap < conv.size; ++tap) {
    const float* HWY_RESTRICT x = conv.x + row * x_stride + tap * conv.tap_stride;
    for (int64_t i = 0; i < conv.in; ++i) {
      V w[kVecs];
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) w[v] = load(weight + v * n);
      HWY_UNROLL(8)
      for (int r = 0; r < kNumRows; ++r) {
        const V in = hn::Set(d, x[r * x_stride]);
        HWY_UNROLL(8)
        for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(in, w[v], sum[r][v]);
      }
      ++x;
      weight += conv.out;
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kNumRows; ++r) {
    float* HWY_RESTRICT y = conv.y + (row + r) * conv.y_stride + col;
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      const V value = Silu(d, sum[r][v]);
      if constexpr (kPartial) {
        StoreFirst(value, d, y + v * n, partial);
      } else {
        hn::StoreU(value, d, y + v * n);
      }
    }
  }
}

template <int kVecs, bool kPartial, class D>
HWY_INLINE void ConvColumns(D d, const ConvRows& conv, int64_t num_rows, int64_t col,
                            size_t partial) {
  // As many sums as the registers hold beside the operands.
  constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? (kVecs == 4 ? 6 : 8) : (kVecs == 2 ? 6 : 8);
  int64_t row = 0;
  for (; row + kRows <= num_rows; row += kRows)
    ConvTile<kRows, kVecs, kPartial>(d, conv, row, col, partial);
  for (; row + 4 <= num_rows; row += 4) ConvTile<4, kVecs, kPartial>(d, conv, row, col, partial);
  for (; row + 2 <= num_rows; row += 2) {
    ConvTile<2, kVecs, kPartial>(d, conv, row, col, partial);
  }
  for (; row < num_rows; ++row) ConvTile<1, kVecs, kPartial>(d, conv, row, col, partial);
}

// y = silu(bias + sum over taps and inputs) for all rows.
void Convolve(const ConvRows& conv, int64_t num_rows) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kVecs = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  int64_t col = 0;
  for (; col + kVecs * n <= conv.out; col += kVecs * n)
    ConvColumns<kVecs, false>(d, conv, num_rows, col, 0);
  if constexpr (kVecs > 2) {
    for (; col + 2 * n <= conv.out; col += 2 * n) ConvColumns<2, false>(d, conv, num_rows, col, 0);
  }
  for (; col + n <= conv.out; col += n) ConvColumns<1, false>(d, conv, num_rows, col, 0);
  if (col < conv.out)
    ConvColumns<1, true>(d, conv, num_rows, col, static_cast<size_t>(conv.out - col));
}

// sum of x[i] * weight[i], i < size.
float Dot(const float* x, const float* weight, int64_t size) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + n <= size; i += n)
    sum = hn::MulAdd(hn::LoadU(d, x + i), hn::LoadU(d, weight + i), sum);
  if (i < size) {
    const size_t rest = static_cast<size_t>(size - i);
    sum = hn::MulAdd(LoadFirst(d, x + i, rest), LoadFirst(d, weight + i, rest), sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
