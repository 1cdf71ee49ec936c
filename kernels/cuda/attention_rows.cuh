// Attention of one query with up to 8 query heads of a kv head: the work of a warp. Device code.
#ifndef WINNOW_KERNELS_CUDA_ATTENTION_ROWS_CUH_
#define WINNOW_KERNELS_CUDA_ATTENTION_ROWS_CUH_

#include <cstdint>

#include "kernels/cuda/attention_keys.cuh"
#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/warp_matrix.cuh"

namespace winnow::cuda {

inline constexpr int kRowsHeads = 8;  // query heads of a block
inline constexpr int kRowsWarps = 4;
inline constexpr int kRowsThreads = kRowsWarps * kWarpSize;

// A list of keys is cut into units by its length alone. A warp computes one or more of them, each
// by itself, and at the end the units are added in their order: the result is the same bit for bit
// however they are shared out.
inline constexpr int kUnitKeys = 96;  // unless that makes too many
inline constexpr int kMaxUnits = 32;

__host__ __device__ constexpr int RowsUnits(int64_t num_keys) {
  const int64_t per_warp = (num_keys + kRowsWarps * kUnitKeys - 1) / (kRowsWarps * kUnitKeys);
  return static_cast<int>(
      per_warp > kMaxUnits / kRowsWarps ? kMaxUnits : (per_warp < 1 ? 1 : per_warp) * kRowsWarps);
}

// How a launch shares out its work. Grid: blocks of a list; kv heads times groups of kRowsHeads
// query heads; rows begin .. begin + count - 1 of every sequence. A lone block keeps its units in
// shared memory, several put them where the last one to finish finds them.
struct RowsWork {
  int32_t begin, count;
  int32_t most_rows;  // longer sequences are left alone
  int32_t max_units;
  float* units;       // [query, head group, max_units][min(group, kRowsHeads)][kDims + 2]
  int32_t* counters;  // [query, head group] blocks that are done; 0 between launches
};

// softmax(q K^T) V of 8 query heads over the keys that a warp takes, not yet normalised. All lanes
// work on the same keys, kKeys at a time:
//   S [heads, keys] = Q K^T       lane (g, q) loads 8 elements of key g at 8 q + 32 j
//   O^T [D, heads] += V^T P^T     lane (g, q) loads elements 8 g + 64 u of keys 2q, 2q + 1, ...
// straight into the products' layout: every load is 16 bytes, and no shared memory is needed.
template <typename T, int kDims, bool kVectors>
class RowsWarp {
 public:
  // Where there are registers for them, the next keys and values are on their way while the warp
  // computes.
  static constexpr bool kAhead = kVectors && sizeof(T) == 2 && kDims <= 128;
  static constexpr int kKeys = 16;

  __device__ RowsWarp(const AttentionParams& p, int64_t row, int first_head, int num_heads)
      : scale_(p.scale),
        dims_(static_cast<int>(p.pages.head_dim)),
        num_heads_(num_heads),
        lane_(threadIdx.x % kWarpSize) {
    const T* q = static_cast<const T*>(p.q) + row * p.q_stride + (first_head + G()) * dims_;
#pragma unroll
    for (int j = 0; j < kDims / 32; ++j) {
      const int d = 8 * Q() + 32 * j;
      queries_[j] = LoadEight<kVectors>(q + d, G() < num_heads ? dims_ - d : 0);
    }
  }

  // Units begin .. end - 1 of `num_units`, for the query in row `row` of the sequence. `to`: of all
  // units, [num_heads][kDims + 2] each: sums, maximum, total of every head.
  __device__ void Run(const KeyList<T>& list, int row, int begin, int end, int num_units,
                      float* to) {
    const int blocks = (list.size() + kKeys - 1) / kKeys;
    const auto first_block = [&](int unit) { return blocks * unit / num_units; };
    const int last = first_block(end);
    int block = first_block(begin);
    KeyLookup found = Find(list, block, last);
    Take(list.Resolve(found), row);
    found = Find(list, block + 1, last);
    if constexpr (kAhead) {
      LoadKeys();
      LoadValues();
    }
    for (int unit = begin; unit < end; ++unit) {
      for (const int unit_end = first_block(unit + 1); block < unit_end; ++block) {
        float scores[kKeys / 8][4];
        Score(scores);
        const KeyRef<T> next = list.Resolve(found);
        found = Find(list, block + 2, last);
        AddBlock(scores, next, row);
      }
      Store(to + unit * num_heads_ * (kDims + 2));
    }
  }

 private:
  __device__ int G() const { return lane_ / 4; }
  __device__ int Q() const { return lane_ % 4; }

  // Lane l looks up key l of a block before block `end`.
  __device__ KeyLookup Find(const KeyList<T>& list, int block, int end) const {
    return block < end && lane_ < kKeys ? list.Find(block * kKeys + lane_) : KeyLookup();
  }
  __device__ void Take(const KeyRef<T>& ref, int row) {
    const bool visible = ref.key != nullptr && row < ref.end;
    key_ = visible ? ref.key : nullptr;
    value_ = visible ? ref.value : nullptr;
    visible_ = __ballot_sync(kFullWarp, visible);
  }
  __device__ static const T* From(const T* pointer, int lane) {
    return reinterpret_cast<const T*>(
        __shfl_sync(kFullWarp, reinterpret_cast<unsigned long long>(pointer), lane));
  }
  // Elements d .. d + 7 of a key or value, zeros where it is null.
  __device__ Eight<T> Load(const T* from, int d) const {
    return LoadEight<kVectors>(from + d, from == nullptr ? 0 : dims_ - d);
  }
  // The lane's value i of keys 16 m .. 16 m + 15: key 2q, 2q + 1, 2q + 8, 2q + 9.
  __device__ const T* ValueOf(int m, int i) const {
    return From(value_, 16 * m + i / 2 * 8 + 2 * Q() + i % 2);
  }

  __device__ void LoadKeys() {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      const T* key = From(key_, 8 * n + G());
#pragma unroll
      for (int j = 0; j < kDims / 32; ++j) keys_[n][j] = Load(key, 8 * Q() + 32 * j);
    }
  }
  __device__ void LoadValues() {
#pragma unroll
    for (int m = 0; m < kKeys / 16; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const T* value = ValueOf(m, i);
#pragma unroll
        for (int u = 0; u < kDims / 64; ++u) values_[m][u][i] = Load(value, 64 * u + 8 * G());
      }
    }
  }

  // The block whose keys the warp holds and has scored; `next` takes their place.
  __device__ void AddBlock(float (&scores)[kKeys / 8][4], const KeyRef<T>& next, int row) {
    const unsigned visible = visible_;
    if constexpr (kAhead) {
      Take(next, row);
      LoadKeys();
      Weigh(scores, visible);
      AddValues(scores);
      LoadValues();
    } else {
      Weigh(scores, visible);
      AddValues(scores);
      Take(next, row);
    }
  }

  __device__ void Score(float (&scores)[kKeys / 8][4]) const {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      const T* key = kAhead ? nullptr : From(key_, 8 * n + G());
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[n][e] = 0;
#pragma unroll
      for (int j = 0; j < kDims / 32; ++j) {
        Eight<T> x;
        if constexpr (kAhead) {
          x = keys_[n][j];
        } else {
          x = Load(key, 8 * Q() + 32 * j);
        }
        Multiply(scores[n], RowsOfA(queries_[j], 0), ColumnOfB(x, 0));
        Multiply(scores[n], RowsOfA(queries_[j], 1), ColumnOfB(x, 1));
      }
    }
  }

  // Scores of head g and keys 8 n + 2q, 8 n + 2q + 1 become weights; sums and total follow the new
  // maximum.
  __device__ void Weigh(float (&scores)[kKeys / 8][4], unsigned visible) {
    float most = most_;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const bool seen = visible >> (8 * n + 2 * Q() + e) & 1;
        scores[n][e] = seen ? scores[n][e] * scale_ : -INFINITY;
        most = fmaxf(most, scores[n][e]);
      }
    }
    most = fmaxf(most, __shfl_xor_sync(kFullWarp, most, 1));
    most = fmaxf(most, __shfl_xor_sync(kFullWarp, most, 2));
    const float base = most == -INFINITY ? 0 : most;
    const float keep = Exp2(most_ - base);
    if (__any_sync(kFullWarp, most != most_)) Rescale(keep);
    most_ = most;
    total_ *= keep;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        scores[n][e] = Exp2(scores[n][e] - base);
        total_ += scores[n][e];
      }
    }
  }
  __device__ void Rescale(float keep) {
    const float first = __shfl_sync(kFullWarp, keep, 8 * Q());
    const float second = __shfl_sync(kFullWarp, keep, 8 * Q() + 4);
#pragma unroll
    for (int i = 0; i < kDims / 16; ++i) {
      sums_[i][0] *= first;
      sums_[i][1] *= second;
      sums_[i][2] *= first;
      sums_[i][3] *= second;
    }
  }

  __device__ void AddValues(const float (&weights)[kKeys / 8][4]) {
#pragma unroll
    for (int m = 0; m < kKeys / 16; ++m) {
      const float w[4] = {weights[2 * m][0], weights[2 * m][1], weights[2 * m + 1][0],
                          weights[2 * m + 1][1]};
      if constexpr (kAhead) {
#pragma unroll
        for (int u = 0; u < kDims / 64; ++u) AddDims(u, values_[m][u], w);
      } else {
        const T* from[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) from[i] = ValueOf(m, i);
#pragma unroll
        for (int u = 0; u < kDims / 64; ++u) {
          Eight<T> x[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) x[i] = Load(from[i], 64 * u + 8 * G());
          AddDims(u, x, w);
        }
      }
    }
  }
  __device__ void AddDims(int u, const Eight<T> (&x)[4], const float (&w)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) MultiplyWeights(sums_[4 * u + i], ColumnsOfA(x, i), w);
  }

  // Then starts anew.
  __device__ void Store(float* to) {
    total_ += __shfl_xor_sync(kFullWarp, total_, 1);
    total_ += __shfl_xor_sync(kFullWarp, total_, 2);
    if (Q() == 0 && G() < num_heads_) {
      to[G() * (kDims + 2) + kDims] = most_;
      to[G() * (kDims + 2) + kDims + 1] = total_;
    }
#pragma unroll
    for (int i = 0; i < kDims / 16; ++i) {
      float* at = to + 2 * Q() * (kDims + 2) + i / 4 * 64 + 8 * G() + i % 4 * 2;
      if (2 * Q() < num_heads_) *reinterpret_cast<float2*>(at) = {sums_[i][0], sums_[i][2]};
      if (2 * Q() + 1 < num_heads_) {
        *reinterpret_cast<float2*>(at + kDims + 2) = {sums_[i][1], sums_[i][3]};
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) sums_[i][e] = 0;
    }
    most_ = -INFINITY;
    total_ = 0;
  }

  const float scale_;
  const int dims_, num_heads_, lane_;
  Eight<T> queries_[kDims / 32];
  float sums_[kDims / 16][4] = {};
  float most_ = -INFINITY, total_ = 0;  // of head g; total: of the lane's own keys
  const T* key_ = nullptr;              // of the lane's key
  const T* value_ = nullptr;
  unsigned visible_ = 0;  // of the block's keys
  Eight<T> keys_[kKeys / 8][kDims / 32];
  Eight<T> values_[kKeys / 16][kDims / 64][4];
};

// Element d of head h of the result, from the units in their order, `stride` floats apart.
// kOfOtherBlocks: not from the first cache, which may hold older ones.
template <int kDims, bool kOfOtherBlocks>
__device__ float AddUnits(const float* from, int stride, int count, int h, int d) {
  from += h * (kDims + 2);
  const auto load = [&](int unit, int i) {
    return kOfOtherBlocks ? __ldcg(from + unit * stride + i) : from[unit * stride + i];
  };
  float most = -INFINITY;
#pragma unroll 4
  for (int i = 0; i < count; ++i) most = fmaxf(most, load(i, kDims));
  float sum = 0, total = 0;
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    const float keep = Exp2(load(i, kDims) - most);
    sum = fmaf(keep, load(i, d), sum);
    total = fmaf(keep, load(i, kDims + 1), total);
  }
  return sum / total;
}

// Whether this block is the last of `count` to come here; it sees what the others wrote before.
__device__ inline bool IsLastBlock(int32_t* counter, int count, int* shared) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *shared = atomicAdd(counter, 1) == count - 1;
  __syncthreads();
  if (!*shared) return false;
  if (threadIdx.x == 0) *counter = 0;
  __threadfence();
  return true;
}

template <typename T, int kDims>
inline constexpr int kRowsBlocks = sizeof(T) == 2 && kDims <= 64 ? 4 : 1;  // of a multiprocessor

// Some units of one query's keys.
template <typename T, int kDims, bool kVectors>
__global__ void __launch_bounds__(kRowsThreads, kRowsBlocks<T, kDims>)
    AttentionRowsKernel(const __grid_constant__ AttentionParams p,
                        const __grid_constant__ RowsWork w) {
  extern __shared__ __align__(16) unsigned char shared[];  // a flag, or a lone block's units

  StartAfterPrevious();
  const int sequence = blockIdx.z / w.count, row = w.begin + blockIdx.z % w.count;
  const int first_row = p.batch.row_offsets[sequence];
  const int num_rows = p.batch.row_offsets[sequence + 1] - first_row;
  if (row >= num_rows || num_rows > w.most_rows) return;
  const int head_groups = (p.group + kRowsHeads - 1) / kRowsHeads;
  const int kv_head = blockIdx.y / head_groups, in_group = blockIdx.y % head_groups * kRowsHeads;
  const int num_heads = min(kRowsHeads, p.group - in_group);
  const int first_head = kv_head * p.group + in_group;

  const KeyList<T> list(p, sequence, kv_head, first_row, row, row + 1);
  const int num_units = RowsUnits(list.size()), num_blocks = gridDim.x;
  const int num_warps = num_blocks * kRowsWarps;
  const auto first_unit = [&](int warp) { return num_units * warp / num_warps; };
  const int block_warp = blockIdx.x * kRowsWarps, warp = block_warp + threadIdx.x / kWarpSize;
  if (first_unit(block_warp) == first_unit(block_warp + kRowsWarps)) return;

  const int64_t query = int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  const int unit_floats = num_heads * (kDims + 2);
  float* const units = num_blocks == 1
                           ? reinterpret_cast<float*>(shared)
                           : w.units + query * w.max_units * min(kRowsHeads, p.group) * (kDims + 2);
  RowsWarp<T, kDims, kVectors> work(p, first_row + row, first_head, num_heads);
  work.Run(list, row, first_unit(warp), first_unit(warp + 1), num_units, units);
  if (num_blocks == 1) {
    __syncthreads();
  } else if (!IsLastBlock(&w.counters[query], min(num_units, num_blocks),
                          reinterpret_cast<int*>(shared))) {
    return;
  }

  const int dims = static_cast<int>(p.pages.head_dim);
  T* const out = static_cast<T*>(p.out) + (int64_t{first_row} + row) * p.out_stride +
                 int64_t{first_head} * dims;
  for (int i = threadIdx.x; i < num_heads * kDims; i += kRowsThreads) {
    const int h = i / kDims, d = i % kDims;
    if (d >= dims) continue;
    const float x = num_blocks == 1 ? AddUnits<kDims, false>(units, unit_floats, num_units, h, d)
                                    : AddUnits<kDims, true>(units, unit_floats, num_units, h, d);
    out[h * dims + d] = FromFloat<T>(x);
  }
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ATTENTION_ROWS_CUH_
