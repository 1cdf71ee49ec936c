// What all forms of the gated delta rule do with a row: gates, norms, where things stand. Device
// code.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_ROWS_CUH_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_ROWS_CUH_

#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gated_delta_params.h"

namespace winnow::cuda {

// Below this, exp is 0 for us: what it would multiply is lost beside anything.
inline constexpr float kMinLogDecay = -87.0f;

__device__ inline float DecayOf(float log_decay) {
  return log_decay < kMinLogDecay ? 0.0f : expf(log_decay);
}

// g = -exp(A_log) softplus(a + dt_bias) <= 0, at least -200: e^g is 0 long before, and sums stay
// finite. NaN stays NaN.
__device__ inline float LogDecayOf(float a, float a_log, float dt_bias) {
  const float x = a + dt_bias;
  const float softplus = (x < 0.0f ? 0.0f : x) + log1pf(expf(-fabsf(x)));
  const float g = -fminf(expf(a_log), 1e30f) * softplus;
  return g < -200.0f ? -200.0f : g;
}

// A factor that normalises x, given sum x^2.
__device__ inline float NormOf(float sum_of_squares) {
  return 1.0f / sqrtf(sum_of_squares + 1e-6f);
}

// Typed access to the rows of one value head of a step.
template <typename IO>
struct DeltaHead {
  __device__ DeltaHead(const DeltaParams& p, int head)
      : params(p), head(head), key_head(head / p.heads_per_key) {}

  __device__ const IO* q(int64_t row) const {
    return static_cast<const IO*>(params.q) + row * params.q_stride + key_head * params.key_dim;
  }
  __device__ const IO* k(int64_t row) const {
    return static_cast<const IO*>(params.k) + row * params.k_stride + key_head * params.key_dim;
  }
  __device__ const IO* v(int64_t row) const {
    return static_cast<const IO*>(params.v) + row * params.v_stride + head * params.value_dim;
  }
  __device__ IO* out(int64_t row) const {
    return static_cast<IO*>(params.out) + row * params.out_stride + head * params.value_dim;
  }
  __device__ float log_decay(int64_t row) const {
    const float a = Gate(params.a, row * params.a_stride + head);
    return LogDecayOf(a, params.a_log[head], params.dt_bias[head]);
  }
  __device__ float beta(int64_t row) const {
    return params.beta_scale * Sigmoid(Gate(params.b, row * params.b_stride + head));
  }
  // S [Dk, Dv].
  template <typename State>
  __device__ State* state(int64_t slot) const {
    return reinterpret_cast<State*>(params.state + slot * params.slot_stride_bytes) +
           int64_t{head} * params.key_dim * params.value_dim;
  }

  const DeltaParams& params;
  const int head;
  const int key_head;

 private:
  __device__ float Gate(const void* gates, int64_t i) const {
    return params.has_f32_gates ? static_cast<const float*>(gates)[i]
                                : AsFloat(static_cast<const IO*>(gates)[i]);
  }
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_ROWS_CUH_
