// Vector exponentials for float32, for inclusion by files that Highway compiles once per target.
//
// Both keep NaN, unlike hwy/contrib/math, so that a fault in a row reaches the check on its logits.
// The polynomials are weighted least-squares fits at Chebyshev points (relative error 4e-9) whose
// coefficients were rounded one by one. Error at most 2 ulp over the whole range (exp_test.cc).
//
//   const auto y = Exp(d, x);          // e^x; denormal results and infinity included
//   const auto y = Exp2Flushed(d, x);  // 2^x for x <= 127; results below 2^-126 become 0

// Highway includes this once per target: see hwy/foreach_target.h.
#if defined(WINNOW_KERNELS_CPU_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_EXP_INL_H_
#undef WINNOW_KERNELS_CPU_EXP_INL_H_
#else
#define WINNOW_KERNELS_CPU_EXP_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Adding it to |x| < 2^22 leaves round(x) in the low bits of the mantissa.
inline constexpr float kRoundMagic = 0x1.8p23f;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  // Beyond these the result is 0 or infinity already.
  const V y = hn::Min(hn::Max(x, hn::Set(d, -104.0f)), hn::Set(d, 89.0f));
  const V shifted = hn::MulAdd(y, hn::Set(d, 1.44269504f), hn::Set(d, kRoundMagic));
  const V n = hn::Sub(shifted, hn::Set(d, kRoundMagic));
  // r = y - n ln 2; the first part of ln 2 has so few bits that its product with n is exact.
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), y);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);

  V p = hn::MulAdd(r, hn::Set(d, 0.0013745317701250315f), hn::Set(d, 0.008368945680558681f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.04166964814066887f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.166665181517601f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.49999988079071045f));
  p = hn::MulAdd(hn::Mul(r, r), p, r);
  p = hn::Add(p, hn::Set(d, 1.0f));

  // 2^n in two factors, so that overflow and denormals come out right.
  const auto exponent = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, hn::Set(d, kRoundMagic)));
  const auto half = hn::ShiftRight<1>(exponent);
  const auto bias = hn::Set(di, 127);
  const V scale0 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const V scale1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(exponent, half), bias)));
  const V result = hn::Mul(hn::Mul(p, scale0), scale1);
  return hn::IfThenElse(hn::Eq(x, x), result, x);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp2Flushed(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V shifted = hn::Add(x, hn::Set(d, kRoundMagic));
  const V r = hn::Sub(x, hn::Sub(shifted, hn::Set(d, kRoundMagic)));

  V p = hn::MulAdd(r, hn::Set(d, 0.00015238006017170846f), hn::Set(d, 0.0013391136890277267f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.009618841111660004f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.055503591895103455f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.24022644758224487f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.6931471824645996f));
  p = hn::MulAdd(r, p, hn::Set(d, 1.0f));

  // The shift drops all but the low bits of the rounded exponent.
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const V scale = hn::BitCast(d, hn::Add(exponent, hn::BitCast(di, hn::Set(d, 1.0f))));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -126.0f)), hn::Mul(p, scale));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Sigmoid(D d, V x) {
  return hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Neg(x))));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Silu(D d, V x) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Neg(x))));
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
