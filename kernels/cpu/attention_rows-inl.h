// Attention of a few queries, vectors along the head dim: for single tokens, where reading
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

// What a task keeps while it goes through the keys: parts of its scratch.
struct RowsState {
  int64_t head_dim = 0;
  int64_t stride = 0;         // head_dim up to whole vectors
  float* queries = nullptr;   // [lanes, stride], scaled for exp2, zeros at the end
  float* sums = nullptr;      // [lanes, stride]
  float* scores = nullptr;    // [kMaxTogether, kKeyBlock], then the weights
  float* quarters = nullptr;  // [kMaxTogether, kKeyBlock, 4]
  float max[kMaxRowLanes];
  float sum[kMaxRowLanes];
  int32_t rows[kMaxRowLanes];  // within the sequence
  bool several_rows = false;
};

// Lanes that share one reading of a key: as many as have room in registers.
inline constexpr int kMaxTogether = 4;

// Writes four numbers with the same sum as the vector's lanes.
template <class D>
HWY_INLINE void StoreQuarters(D d, hn::Vec<D> v, float* HWY_RESTRICT to) {
#if HWY_TARGET == HWY_SCALAR
  hn::Store(v, d, to);
  to[1] = to[2] = to[3] = 0;
#else
  if constexpr (hn::MaxLanes(d) > 4) {
    const hn::Half<D> half;
    StoreQuarters(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), to);
  } else {
    hn::Store(v, d, to);
  }
#endif
}

// quarters[l] = query[l] . key, as four numbers to be added up for many keys at a time.
template <int kLanes, class D>
HWY_INLINE void DotKey(D d, const float* HWY_RESTRICT queries, int64_t query_stride,
                       const float* HWY_RESTRICT key, int64_t head_dim,
                       float* HWY_RESTRICT quarters) {
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
  for (int l = 0; l < kLanes; ++l) StoreQuarters(d, sum[l], quarters + l * kKeyBlock * 4);
}

// scores[key] = sum of the key's four quarters, for whole vectors of keys.
template <class D>
HWY_INLINE void AddQuarters(D d, const float* HWY_RESTRICT quarters, int num_keys,
                            float* HWY_RESTRICT scores) {
  const int n = static_cast<int>(hn::Lanes(d));
  for (int key = 0; key < num_keys; key += n) {
    hn::Vec<D> a, b, c, e;
    hn::LoadInterleaved4(d, quarters + 4 * key, a, b, c, e);
    hn::Store(hn::Add(hn::Add(a, b), hn::Add(c, e)), d, scores + key);
  }
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

// Some keys that are attended to together.
struct KeyBlockRefs {
  int size = 0;
  KeyRef refs[kKeyBlock];
};

HWY_INLINE void Prefetch(const float* x, int64_t size) {
  for (int64_t i = 0; i < size; i += 16) hwy::Prefetch(x + i);
}

// scores of a block of keys for the lanes first .. first + kLanes - 1; -infinity where a lane does
// not see the key.
template <int kLanes, class D>
HWY_INLINE void ScoreBlock(D d, const KeyBlockRefs& block, const KeyBlockRefs* next, int first,
                           const RowsState& state) {
  const KeyRef* HWY_RESTRICT refs = block.refs;
  const int num_keys = block.size;
  const float* queries = state.queries + first * state.stride;
  for (int key = 0; key < num_keys; ++key) {
    // This block's values and the next one's keys lie in other pages, where the processor does not
    // look by itself: ask for them while there is work to do.
    if (next != nullptr) {
      Prefetch(refs[key].value, state.head_dim);
      if (key < next->size) Prefetch(next->refs[key].key, state.head_dim);
    }
    DotKey<kLanes>(d, queries, state.stride, refs[key].key, state.head_dim,
                   state.quarters + 4 * key);
  }
  for (int l = 0; l < kLanes; ++l) {
    float* scores = state.scores + l * kKeyBlock;
    AddQuarters(d, state.quarters + 4 * l * kKeyBlock, num_keys, scores);
    if (!state.several_rows) continue;  // every key that was collected is visible to one row
    const int32_t row = state.rows[first + l];
    for (int key = 0; key < num_keys; ++key) {
      const bool visible = refs[key].begin <= row && row < refs[key].end;
      scores[key] = visible ? scores[key] : -std::numeric_limits<float>::infinity();
    }
  }
}

// One block of keys against the lanes first .. first + kLanes - 1. `next`: the block that follows,
// if it is not asked for yet.
template <int kLanes, class D>
HWY_INLINE void AttendBlock(D d, const KeyBlockRefs& block, const KeyBlockRefs* next, int first,
                            RowsState* state) {
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const int64_t head_dim = state->head_dim;
  const KeyRef* refs = block.refs;
  const int num_keys = block.size;
  ScoreBlock<kLanes>(d, block, next, first, *state);
  const float* weights = state->scores;
  float decay[kLanes];
  HWY_UNROLL(8)
  for (int l = 0; l < kLanes; ++l) {
    decay[l] = SoftmaxBlock(d, num_keys, state->scores + l * kKeyBlock, state->max + first + l,
                            state->sum + first + l);
  }
  // As many sums as the registers hold: 32 vectors from AVX-512 on, else 16.
  constexpr int kVecs = HWY_TARGET <= HWY_AVX3 ? 4 : kLanes == 1 ? 4 : 2;
  float* sums = state->sums + first * state->stride;
  int64_t i = 0;
  for (; i + kVecs * n <= head_dim; i += kVecs * n) {
    AddValues<kLanes, kVecs>(d, refs, num_keys, weights, decay, i, sums, state->stride);
  }
  for (; i + n <= head_dim; i += n) {
    AddValues<kLanes, 1>(d, refs, num_keys, weights, decay, i, sums, state->stride);
  }
  if (i < head_dim) {
    AddValuesTail(d, kLanes, refs, num_keys, weights, decay, i, head_dim, sums, state->stride);
  }
}

template <class D>
HWY_INLINE void StartRows(D d, const AttentionArgs& args, const AttentionTask& task,
                          const LaneGeometry& lanes, float* scratch, RowsState* state) {
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const int64_t head_dim = args.pages.head_dim;
  state->head_dim = head_dim;
  state->stride = (head_dim + n - 1) / n * n;
  state->scores = scratch;
  state->quarters = state->scores + kMaxTogether * kKeyBlock;
  state->queries = state->quarters + kMaxTogether * kKeyBlock * 4;
  state->sums = state->queries + task.num_lanes * state->stride;
  const float scale =
      static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(head_dim)));
  for (int l = 0; l < task.num_lanes; ++l) {
    const float* query = lanes.Query(args, l);
    state->max[l] = kLowestScore;
    state->sum[l] = 0;
    state->rows[l] = lanes.Row(l);
    state->several_rows = state->rows[l] > 0;
    for (int64_t i = 0; i < state->stride; ++i) {
      state->queries[l * state->stride + i] = i < head_dim ? query[i] * scale : 0.0f;
      state->sums[l * state->stride + i] = 0;
    }
  }
}

inline void FinishRows(const AttentionArgs& args, const AttentionTask& task,
                       const LaneGeometry& lanes, const RowsState& state) {
  for (int l = 0; l < task.num_lanes; ++l) {
    const bool whole = task.partial == nullptr;
    float* out = whole ? lanes.Out(args, l) : task.partial + l * PartialStride(state.head_dim);
    const float factor = whole ? 1.0f / state.sum[l] : 1.0f;
    for (int64_t i = 0; i < state.head_dim; ++i) out[i] = state.sums[l * state.stride + i] * factor;
    if (whole) continue;
    out[state.head_dim] = state.max[l];
    out[state.head_dim + 1] = state.sum[l];
  }
}

// REQUIRES: task.num_lanes <= kMaxRowLanes.
HWY_NOINLINE void AttendRows(const AttentionArgs& args, const AttentionTask& task, float* scratch) {
  const hn::ScalableTag<float> d;
  const LaneGeometry lanes(args, task);
  RowsState state;
  StartRows(d, args, task, lanes, scratch, &state);
  const KeySource source(args, task.sequence, task.head);
  KeyBlockRefs blocks[2];
  int64_t index = task.key_begin;
  const auto collect = [&](KeyBlockRefs* block) {
    block->size = 0;
    index = source.Collect(index, task.key_end, kKeyBlock, block->refs, &block->size);
  };
  collect(&blocks[0]);
  for (int current = 0; blocks[current].size > 0; current = 1 - current) {
    const KeyBlockRefs& block = blocks[current];
    KeyBlockRefs* next = &blocks[1 - current];
    collect(next);
    int lane = 0;
    for (; lane + kMaxTogether <= task.num_lanes; lane += kMaxTogether) {
      AttendBlock<kMaxTogether>(d, block, lane == 0 ? next : nullptr, lane, &state);
    }
    const KeyBlockRefs* ask = lane == 0 ? next : nullptr;
    const int rest = task.num_lanes - lane;
    if (rest == 1) AttendBlock<1>(d, block, ask, lane, &state);
    if (rest == 2) AttendBlock<2>(d, block, ask, lane, &state);
    if (rest == 3) AttendBlock<3>(d, block, ask, lane, &state);
  }
  FinishRows(args, task, lanes, state);
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
