// Attention of one to four queries, vectors along the head dim: for single tokens, where reading
// the keys and values once (8 D bytes each key and head) is what takes the time. Inclusion as in
// exp-inl.h.
#if defined(WINNOW_KERNELS_CPU_ATTENTION_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WINNOW_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#undef WINNOW_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#else
#define WINNOW_KERNELS_CPU_ATTENTION_ROWS_INL_H_
#endif

#include <cmath>
#include <limits>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_task.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// scores[l] = query[l] . key. The queries are padded with zeros to whole vectors.
template <int kLanes, class D>
HWY_INLINE void DotKey(D d, const float* HWY_RESTRICT queries, int64_t query_stride,
                       const float* HWY_RESTRICT key, int64_t head_dim,
                       float* HWY_RESTRICT scores) {
  using V = hn::Vec<D>;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  V sum[kLanes];
  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) sum[l] = hn::Zero(d);
  int64_t i = 0;
  for (; i + n <= head_dim; i += n) {
    const V k = hn::LoadU(d, key + i);
    HWY_UNROLL(8)
    for (int l = 0; l < kLanes; ++l) {
      sum[l] = hn::MulAdd(hn::Load(d, queries + l * query_stride + i), k, sum[l]);
    }
  }
  if (i < head_dim) {
    const V k = LoadFirst(d, key + i, static_cast<size_t>(head_dim - i));
    HWY_UNROLL(8)
    for (int l = 0; l < kLanes; ++l) {
      sum[l] = hn::MulAdd(hn::Load(d, queries + l * query_stride + i), k, sum[l]);
    }
  }
  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) scores[l * kKeyBlock] = hn::GetLane(hn::SumOfLanes(d, sum[l]));
}

// sums[l][i ...] = sums[l][i ...] * decay[l] + sum over keys of weight[l] * value[i ...], for kVecs
// vectors.
template <int kLanes, int kVecs, class D>
HWY_INLINE void AddValues(D d, const KeyRef* HWY_RESTRICT refs, int num_keys,
                          const float* HWY_RESTRICT weights, const float* HWY_RESTRICT decay,
                          int64_t i, float* HWY_RESTRICT sums, int64_t sums_stride) {
  using V = hn::Vec<D>;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  V sum[kLanes][kVecs];
  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      sum[l][v] = hn::Mul(hn::Load(d, sums + l * sums_stride + i + v * n), hn::Set(d, decay[l]));
    }
  }
  for (int key = 0; key < num_keys; ++key) {
    const float* HWY_RESTRICT value = refs[key].value + i;
    V x[kVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) x[v] = hn::LoadU(d, value + v * n);
    HWY_UNROLL(8)
    for (int l = 0; l < kLanes; ++l) {
      const V w = hn::Set(d, weights[l * kKeyBlock + key]);
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sum[l][v] = hn::MulAdd(w, x[v], sum[l][v]);
    }
  }
  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) hn::Store(sum[l][v], d, sums + l * sums_stride + i + v * n);
  }
}

// The same for the last lanes of a head dim that is no multiple of the vector.
template <class D>
HWY_INLINE void AddValuesTail(D d, int num_lanes, const KeyRef* HWY_RESTRICT refs, int num_keys,
                              const float* HWY_RESTRICT weights, const float* HWY_RESTRICT decay,
                              int64_t i, int64_t head_dim, float* HWY_RESTRICT sums,
                              int64_t sums_stride) {
  for (int l = 0; l < num_lanes; ++l) {
    auto sum = hn::Mul(hn::Load(d, sums + l * sums_stride + i), hn::Set(d, decay[l]));
    for (int key = 0; key < num_keys; ++key) {
      const auto x = LoadFirst(d, refs[key].value + i, static_cast<size_t>(head_dim - i));
      sum = hn::MulAdd(hn::Set(d, weights[l * kKeyBlock + key]), x, sum);
    }
    hn::Store(sum, d, sums + l * sums_stride + i);
  }
}

// Turns one lane's scores of a block into weights and updates its maximum and sum; returns the
// factor for the sums so far.
template <class D>
HWY_INLINE float SoftmaxBlock(D d, int num_keys, float* HWY_RESTRICT scores,
                              float* HWY_RESTRICT max, float* HWY_RESTRICT sum) {
  const int n = static_cast<int>(hn::Lanes(d));
  for (int i = num_keys; i % n != 0; ++i) scores[i] = -std::numeric_limits<float>::infinity();
  auto block_max = hn::Set(d, *max);
  for (int i = 0; i < num_keys; i += n) block_max = hn::Max(block_max, hn::Load(d, scores + i));
  block_max = hn::MaxOfLanes(d, block_max);
  auto block_sum = hn::Zero(d);
  for (int i = 0; i < num_keys; i += n) {
    const auto weight = Exp2Flushed(d, hn::Sub(hn::Load(d, scores + i), block_max));
    hn::Store(weight, d, scores + i);
    block_sum = hn::Add(block_sum, weight);
  }
  const float new_max = hn::GetLane(block_max);
  const float decay = hn::GetLane(Exp2Flushed(d, hn::Set(d, *max - new_max)));
  *max = new_max;
  *sum = *sum * decay + hn::GetLane(hn::SumOfLanes(d, block_sum));
  return decay;
}

// One block of keys against kLanes queries.
template <int kLanes, class D>
HWY_INLINE void AttendRowsBlock(D d, const KeyRef* HWY_RESTRICT refs, int num_keys,
                                const LaneGeometry& lanes, int64_t head_dim,
                                const float* HWY_RESTRICT queries, int64_t stride,
                                float* HWY_RESTRICT scores, float* HWY_RESTRICT sums,
                                float* HWY_RESTRICT max, float* HWY_RESTRICT sum) {
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  for (int key = 0; key < num_keys; ++key) {
    // The values follow only when the block's weights are known; ask for them now.
    for (int64_t i = 0; i < head_dim; i += 16) hwy::Prefetch(refs[key].value + i);
    DotKey<kLanes>(d, queries, stride, refs[key].key, head_dim, scores + key);
    HWY_UNROLL(8)
    for (int l = 0; l < kLanes; ++l) {
      const int32_t row = lanes.Row(l);
      const bool visible = refs[key].begin <= row && row < refs[key].end;
      if (!visible) scores[l * kKeyBlock + key] = -std::numeric_limits<float>::infinity();
    }
  }
  float decay[kLanes];
  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) {
    decay[l] = SoftmaxBlock(d, num_keys, scores + l * kKeyBlock, max + l, sum + l);
  }
  // As many sums as the registers hold: 32 vectors from AVX-512 on, else 16.
  constexpr int kVecs = HWY_TARGET <= HWY_AVX3 ? (kLanes == 1 ? 8 : 4) : (kLanes == 1 ? 4 : 2);
  int64_t i = 0;
  for (; i + kVecs * n <= head_dim; i += kVecs * n) {
    AddValues<kLanes, kVecs>(d, refs, num_keys, scores, decay, i, sums, stride);
  }
  if constexpr (kVecs > 4) {
    for (; i + 4 * n <= head_dim; i += 4 * n) {
      AddValues<kLanes, 4>(d, refs, num_keys, scores, decay, i, sums, stride);
    }
  }
  for (; i + 2 * n <= head_dim; i += 2 * n) {
    AddValues<kLanes, 2>(d, refs, num_keys, scores, decay, i, sums, stride);
  }
  for (; i + n <= head_dim; i += n) {
    AddValues<kLanes, 1>(d, refs, num_keys, scores, decay, i, sums, stride);
  }
  if (i < head_dim) {
    AddValuesTail(d, kLanes, refs, num_keys, scores, decay, i, head_dim, sums, stride);
  }
}

template <int kLanes>
HWY_NOINLINE void AttendRows(const AttentionArgs& args, const AttentionTask& task, float* scratch) {
  const hn::ScalableTag<float> d;
  const int64_t head_dim = args.pages.head_dim;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const int64_t stride = (head_dim + n - 1) / n * n;
  const LaneGeometry lanes(args, task);
  float* scores = scratch;                       // [kLanes, kKeyBlock]
  float* queries = scores + kLanes * kKeyBlock;  // [kLanes, stride], scaled for exp2
  float* sums = queries + kLanes * stride;       // [kLanes, stride]
  float max[kLanes];
  float sum[kLanes] = {};

  const float scale =
      static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(head_dim)));
  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) {
    const float* query = lanes.Query(args, l);
    max[l] = kLowestScore;
    for (int64_t i = 0; i < stride; ++i) {
      queries[l * stride + i] = i < head_dim ? query[i] * scale : 0.0f;
      sums[l * stride + i] = 0.0f;
    }
  }

  const KeySource source(args, task.sequence, task.head);
  KeyRef refs[kKeyBlock];
  for (int64_t index = task.key_begin; index < task.key_end;) {
    int num_keys = 0;
    index = source.Collect(index, task.key_end, kKeyBlock, refs, &num_keys);
    if (num_keys == 0) continue;
    AttendRowsBlock<kLanes>(d, refs, num_keys, lanes, head_dim, queries, stride, scores, sums, max,
                            sum);
  }

  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) {
    const bool whole = task.partial == nullptr;
    float* out = whole ? lanes.Out(args, l) : task.partial + l * PartialStride(head_dim);
    const float factor = whole ? 1.0f / sum[l] : 1.0f;
    for (int64_t i = 0; i < head_dim; ++i) out[i] = sums[l * stride + i] * factor;
    if (whole) continue;
    out[head_dim] = max[l];
    out[head_dim + 1] = sum[l];
  }
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
