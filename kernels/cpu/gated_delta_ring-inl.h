// The gated delta rule with a ring of the last inputs (kernels/ops/gated_delta.h, DeltaRing),
// plainly: what the ring form means, for tests of what uses it. Inclusion as in exp-inl.h.
#if defined(WINNOW_KERNELS_CPU_GATED_DELTA_RING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_GATED_DELTA_RING_INL_H_
#undef WINNOW_KERNELS_CPU_GATED_DELTA_RING_INL_H_
#else
#define WINNOW_KERNELS_CPU_GATED_DELTA_RING_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/gated_delta_rows-inl.h"
#include "kernels/cpu/gated_delta_task.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

// The entries of the task's sequence and head, and what they weigh.
struct RingEntries {
  static constexpr int64_t Floats(int64_t key_dim) {
    return (kMaxDeltaRing + 2) * RoundUp(key_dim, kDeltaPad);
  }
  explicit RingEntries(const DeltaTask& task)
      : count(task.ring_count),
        length(task.args->ring->length),
        key_dim(task.key_dim()),
        value_dim(task.value_dim()),
        stride(RoundUp(key_dim, kDeltaPad)),
        values(task.args->ring->values.at<float>(task.slot) + task.head * length * value_dim),
        decays(task.args->ring->decays.at<float>(task.slot) + task.head * length),
        raw_keys(task.args->ring->keys.at<float>(task.slot) + task.key_head() * length * key_dim),
        own_k(task.scratch),
        own_q(own_k + stride),
        keys(own_q + stride) {}

  const int64_t count;  // n
  const int64_t length, key_dim, value_dim, stride;
  float* values;    // d [length, Dv]
  float* decays;    // g [length]
  float* raw_keys;  // k [length, Dk]
  // Scratch: the token's k and q, the entries' k, normalised.
  float* own_k;               // [stride]
  float* own_q;               // [stride]
  float* keys;                // [length, stride]
  float late[kMaxDeltaRing];  // e^(sum of the log decays after the entry, the token's own included)
  float decay = 1;            // of S0
};

// `log_decay`: of the token that follows the entries.
HWY_INLINE void PrepareEntries(const DeltaGates& gates, float log_decay, RingEntries& ring) {
  float sum = log_decay;
  for (int64_t j = ring.count - 1; j >= 0; --j) {
    NormaliseDeltaRow(ring.raw_keys + j * ring.key_dim, ring.key_dim, 1.0f, ring.stride,
                      ring.keys + j * ring.stride);
    ring.late[j] = gates.Decay(sum);
    sum += ring.decays[j];
  }
  ring.decay = gates.Decay(sum);
}

HWY_INLINE float DotKeys(const float* x, const float* y, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// S^T x of one column, for the S that S0 and the entries stand for.
HWY_INLINE float MultiplyColumn(const RingEntries& ring, const float* state, int64_t col,
                                const float* x) {
  float sum = 0;
  for (int64_t i = 0; i < ring.key_dim; ++i) sum += state[i * ring.value_dim + col] * x[i];
  sum *= ring.decay;
  for (int64_t j = 0; j < ring.count; ++j) {
    const float weight = ring.late[j] * DotKeys(ring.keys + j * ring.stride, x, ring.key_dim);
    sum += weight * ring.values[j * ring.value_dim + col];
  }
  return sum;
}

// S <- decay S + the entries, in one column.
HWY_INLINE void FoldColumn(const RingEntries& ring, float* state, int64_t col) {
  for (int64_t i = 0; i < ring.key_dim; ++i) {
    float sum = ring.decay * state[i * ring.value_dim + col];
    for (int64_t j = 0; j < ring.count; ++j) {
      sum += ring.late[j] * ring.keys[j * ring.stride + i] * ring.values[j * ring.value_dim + col];
    }
    state[i * ring.value_dim + col] = sum;
  }
}

// The token's k and g as an entry; its d are there. By one of the tasks that share them.
HWY_INLINE void AppendToken(const DeltaTask& task, float log_decay, RingEntries& ring) {
  if (task.col_begin != 0) return;
  ring.decays[ring.count] = log_decay;
  if (task.head % (task.args->v.dim(1) / task.args->k.dim(1)) != 0) return;
  std::copy_n(task.k(0), ring.key_dim, ring.raw_keys + ring.count * ring.key_dim);
}

// The task's one row.
void DeltaRingToken(const DeltaTask& task) {
  RingEntries ring(task);
  const DeltaGates gates(task);
  const float log_decay = gates.LogDecay(0), beta = gates.Beta(0);
  PrepareEntries(gates, log_decay, ring);
  NormaliseDeltaRow(task.k(0), ring.key_dim, 1.0f, ring.stride, ring.own_k);
  NormaliseDeltaRow(task.q(0), ring.key_dim, 1.0f / std::sqrt(static_cast<float>(ring.key_dim)),
                    ring.stride, ring.own_q);
  const float own = DotKeys(ring.own_k, ring.own_q, ring.key_dim);
  const bool folds = ring.count + 1 == ring.length;
  float* state = task.state();
  for (int64_t col = task.col_begin; col < task.col_end; ++col) {
    const float d = beta * (task.v(0)[col] - MultiplyColumn(ring, state, col, ring.own_k));
    task.out(0)[col] = MultiplyColumn(ring, state, col, ring.own_q) + own * d;
    if (!folds) {
      ring.values[ring.count * ring.value_dim + col] = d;
      continue;
    }
    FoldColumn(ring, state, col);
    for (int64_t i = 0; i < ring.key_dim; ++i) {
      state[i * ring.value_dim + col] += ring.own_k[i] * d;
    }
  }
  if (!folds) AppendToken(task, log_decay, ring);
}

// The entries alone into S, before the task's rows.
void DeltaRingFold(const DeltaTask& task) {
  RingEntries ring(task);
  if (ring.count == 0) return;
  PrepareEntries(DeltaGates(task), 0.0f, ring);
  for (int64_t col = task.col_begin; col < task.col_end; ++col) {
    FoldColumn(ring, task.state(), col);
  }
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
