// Loads and stores of the first n lanes of a vector, never touching memory beyond them. For row
// ends that are no multiple of the vector; inclusion as in exp-inl.h.
#if defined(WINNOW_KERNELS_CPU_PARTIAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_PARTIAL_INL_H_
#undef WINNOW_KERNELS_CPU_PARTIAL_INL_H_
#else
#define WINNOW_KERNELS_CPU_PARTIAL_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// from[0 .. n), then zeros. REQUIRES: 0 < n < Lanes(d).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V LoadFirst(D d, const float* HWY_RESTRICT from, size_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[hn::MaxLanes(d)] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = from[i];
  return hn::Load(d, lanes);
#else
  return hn::MaskedLoad(hn::FirstN(d, n), d, from);
#endif
}

// to[0 .. n) = v. REQUIRES: 0 < n < Lanes(d).
template <class D, class V = hn::Vec<D>>
HWY_INLINE void StoreFirst(V v, D d, float* HWY_RESTRICT to, size_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  for (size_t i = 0; i < n; ++i) to[i] = lanes[i];
#else
  hn::BlendedStore(v, hn::FirstN(d, n), d, to);
#endif
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
