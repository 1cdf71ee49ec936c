// What both forms of the gated delta rule do first with a row: normalise q and k, turn a and b into
// decay and beta. Inclusion as in exp-inl.h.
#if defined(WINNOW_KERNELS_CPU_GATED_DELTA_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_GATED_DELTA_ROWS_INL_H_
#undef WINNOW_KERNELS_CPU_GATED_DELTA_ROWS_INL_H_
#else
#define WINNOW_KERNELS_CPU_GATED_DELTA_ROWS_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/cpu/gated_delta_task.h"
#include "kernels/cpu/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Below this, exp is 0 for us: what it would multiply is lost beside anything, and denormal numbers
// are slow.
inline constexpr float kMinLogDecay = -87.0f;

// to[0 .. padded) = x * scale / sqrt(sum x^2 + 1e-6), then zeros.
HWY_INLINE void NormaliseDeltaRow(const float* HWY_RESTRICT x, int64_t n, float scale,
                                  int64_t padded, float* HWY_RESTRICT to) {
  const float factor = scale / std::sqrt(SumOfSquares(x, n) + 1e-6f);
  ForVectors(n, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)), d, to + i);
  });
  std::fill(to + n, to + padded, 0.0f);
}

// The gates of one head.
class DeltaGates {
 public:
  explicit DeltaGates(const DeltaTask& task)
      : task_(task),
        rate_(std::min(std::exp(task.args->a_log[task.head]), 1e30f)),
        dt_bias_(task.args->dt_bias[task.head]),
        beta_scale_(task.args->beta_scale) {}

  // g = -exp(A_log) softplus(a + dt_bias) <= 0, at least -200: e^g is 0 long before, and sums stay
  // finite.
  float LogDecay(int64_t row) const {
    const float x = task_.a(row) + dt_bias_;
    const float softplus = std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x)));
    const float g = -rate_ * softplus;
    return g < -200.0f ? -200.0f : g;
  }
  float Decay(float log_decay) const {
    return log_decay < kMinLogDecay ? 0.0f : std::exp(log_decay);
  }
  float Beta(int64_t row) const { return beta_scale_ / (1.0f + std::exp(-task_.b(row))); }

 private:
  const DeltaTask& task_;
  const float rate_;
  const float dt_bias_;
  const float beta_scale_;
};

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
