// Passes over one row of logits, vectors along the vocabulary. Inclusion as in exp-inl.h.
#if defined(WINNOW_KERNELS_CPU_SAMPLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_SAMPLE_INL_H_
#undef WINNOW_KERNELS_CPU_SAMPLE_INL_H_
#else
#define WINNOW_KERNELS_CPU_SAMPLE_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// One-lane vectors run the same code over what is left of a row.
using OneLane = hn::CappedTag<float, 1>;

// The largest of x[0 .. size); *finite: none is NaN or infinite (else the result means nothing).
// REQUIRES: size > 0.
float LargestLogit(const float* HWY_RESTRICT x, int64_t size, bool* finite) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  auto max = hn::Set(d, x[0]);
  auto zero = hn::Zero(d);  // x - x is NaN unless x is finite
  int64_t i = 0;
  for (; i + n <= size; i += n) {
    const auto v = hn::LoadU(d, x + i);
    max = hn::Max(max, v);
    zero = hn::Add(zero, hn::Sub(v, v));
  }
  float largest = hn::GetLane(hn::MaxOfLanes(d, max));
  bool all_finite = hn::AllTrue(d, hn::Eq(zero, hn::Zero(d)));
  for (; i < size; ++i) {
    largest = std::max(largest, x[i]);
    all_finite = all_finite && x[i] - x[i] == 0;
  }
  *finite = all_finite;
  return largest;
}

// The first i with x[i] == value. REQUIRES: there is one.
int64_t FindLogit(const float* HWY_RESTRICT x, int64_t size, float value) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const auto wanted = hn::Set(d, value);
  int64_t i = 0;
  for (; i + n <= size; i += n) {
    const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, x + i), wanted));
    if (lane >= 0) return i + lane;
  }
  while (x[i] != value) ++i;
  return i;
}

// How many of x[0 .. size) are > value, or >= value.
int64_t CountLogits(const float* HWY_RESTRICT x, int64_t size, float value, bool or_equal) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const auto bound = hn::Set(d, value);
  int64_t count = 0;
  int64_t i = 0;
  for (; i + n <= size; i += n) {
    const auto v = hn::LoadU(d, x + i);
    count += static_cast<int64_t>(hn::CountTrue(d, or_equal ? hn::Ge(v, bound) : hn::Gt(v, bound)));
  }
  for (; i < size; ++i) count += or_equal ? x[i] >= value : x[i] > value;
  return count;
}

// The first i >= from with x[i] > value, or size.
int64_t FindGreater(const float* HWY_RESTRICT x, int64_t from, int64_t size, float value) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const auto bound = hn::Set(d, value);
  int64_t i = from;
  for (; i + n <= size; i += n) {
    const intptr_t lane = hn::FindFirstTrue(d, hn::Gt(hn::LoadU(d, x + i), bound));
    if (lane >= 0) return i + lane;
  }
  for (; i < size; ++i) {
    if (x[i] > value) return i;
  }
  return size;
}

// weights[i] = 0 where x[i] < value, or <= value.
void DropBelow(const float* HWY_RESTRICT x, int64_t size, float value, bool or_equal,
               float* HWY_RESTRICT weights) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const auto bound = hn::Set(d, value);
  int64_t i = 0;
  for (; i + n <= size; i += n) {
    const auto v = hn::LoadU(d, x + i);
    const auto kept = or_equal ? hn::Gt(v, bound) : hn::Ge(v, bound);
    hn::StoreU(hn::IfThenElseZero(kept, hn::LoadU(d, weights + i)), d, weights + i);
  }
  for (; i < size; ++i) {
    const bool kept = or_equal ? x[i] > value : x[i] >= value;
    if (!kept) weights[i] = 0;
  }
}

template <class D>
HWY_INLINE hn::Vec<D> WeightOf(D d, hn::Vec<D> logit, float max, float temperature) {
  return Exp(d, hn::Div(hn::Sub(logit, hn::Set(d, max)), hn::Set(d, temperature)));
}

// weights[i] = e^((x[i] - max) / temperature), 0 for x[i] = -inf. REQUIRES: temperature > 0, x[i]
// <= max, both finite.
void SoftmaxWeights(const float* HWY_RESTRICT x, int64_t size, float max, float temperature,
                    float* HWY_RESTRICT weights) {
  const hn::ScalableTag<float> d;
  const OneLane one;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= size; i += n) {
    hn::StoreU(WeightOf(d, hn::LoadU(d, x + i), max, temperature), d, weights + i);
  }
  for (; i < size; ++i)
    hn::Store(WeightOf(one, hn::Load(one, x + i), max, temperature), one, weights + i);
}

// Sum of x[0 .. size), in float64.
double SumFloats(const float* HWY_RESTRICT x, int64_t size) {
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(dd));
  auto sum0 = hn::Zero(dd);
  auto sum1 = hn::Zero(dd);
  int64_t i = 0;
  for (; i + 2 * n <= size; i += 2 * n) {
    sum0 = hn::Add(sum0, hn::PromoteTo(dd, hn::LoadU(d, x + i)));
    sum1 = hn::Add(sum1, hn::PromoteTo(dd, hn::LoadU(d, x + i + n)));
  }
  double sum = hn::GetLane(hn::SumOfLanes(dd, hn::Add(sum0, sum1)));
  for (; i < size; ++i) sum += x[i];
  return sum;
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
