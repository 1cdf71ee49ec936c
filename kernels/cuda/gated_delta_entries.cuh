// What the kernels of the ring form read beside S: where a sequence's entries stand, their weights,
// and what the entries give for a token's k and q. Device code.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_ENTRIES_CUH_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_ENTRIES_CUH_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/gated_delta_recurrent.cuh"
#include "kernels/cuda/gated_delta_rows.cuh"

namespace winnow::cuda {

// DeltaRing, whose fields are as far apart from slot to slot as S.
struct DeltaRingParams {
  std::byte* values;
  std::byte* decays;
  std::byte* keys;
  const int32_t* counts;
  int32_t length;
};

// The entries of one sequence and head.
template <typename IO>
struct DeltaEntries {
  __device__ DeltaEntries(const DeltaRingParams& ring, const DeltaHead<IO>& head, int64_t slot) {
    const int64_t begin = slot * head.params.slot_stride_bytes;
    d = reinterpret_cast<float*>(ring.values + begin) +
        int64_t{head.head} * ring.length * head.params.value_dim;
    decays = reinterpret_cast<float*>(ring.decays + begin) + head.head * ring.length;
    k = reinterpret_cast<IO*>(ring.keys + begin) +
        int64_t{head.key_head} * ring.length * head.params.key_dim;
  }
  float* d;       // [length, Dv]
  float* decays;  // [length]
  IO* k;          // [length, Dk]
};

// Shared memory of a block.
template <typename Tile>
struct DeltaRingShared {
  float4 tile[Tile::kRows][Tile::kThreads];  // the threads' parts of S
  DeltaShared<Tile> delta;
  // Of the entries, k and q of the token normalised:
  float k_weights[kMaxDeltaRing];     // e^{G_t - G_j} (k_j . k_t)
  float q_weights[kMaxDeltaRing];     // e^{G_t - G_j} (k_j . q_t)
  float fold_weights[kMaxDeltaRing];  // e^{G_t - G_j} / |k_j|
};

__device__ inline void CopyAsync(void* to, const void* from) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
}
__device__ inline void WaitForCopies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Begins to bring the thread's part of S into shared memory; `state`: its first element.
template <typename Tile>
__device__ void StageState(const float* state, int64_t value_dim, bool has_cols,
                           DeltaRingShared<Tile>& shared) {
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    float4* to = &shared.tile[i][threadIdx.x];
    if (has_cols) {
      CopyAsync(to, state + i * Tile::kRowGroups * value_dim);
    } else {
      *to = {};
    }
  }
}

// The k of the entries that a warp weighs, in pairs of elements: kPairs per lane and entry.
template <typename Tile, typename IO>
struct WarpEntries {
  static constexpr int kEntries = (kMaxDeltaRing + Tile::kWarps - 1) / Tile::kWarps;
  static constexpr int kPairs = Tile::kKeyDim / (2 * kWarpSize);
  using Pair = Pack<IO, 2>;

  static __device__ int entry(int e) { return threadIdx.x / kWarpSize + e * Tile::kWarps; }
  static __device__ int element(int i) { return 2 * (threadIdx.x % kWarpSize + i * kWarpSize); }

  __device__ void Load(const IO* keys, int n) {
#pragma unroll
    for (int e = 0; e < kEntries; ++e) {
      if (entry(e) >= n) break;
#pragma unroll
      for (int i = 0; i < kPairs; ++i) {
        k[e][i] = *reinterpret_cast<const Pair*>(keys + entry(e) * Tile::kKeyDim + element(i));
      }
    }
  }
  Pair k[kEntries][kPairs];
};

// e^(sum of the log decays after entry `lane`), the new token's own included, for lane < n; in
// lane n, of no decay: 1. `all`: that of all, which is S0's. n < kWarpSize.
__device__ inline float LateDecay(const float* decays, int n, float own, float* all) {
  const int lane = threadIdx.x % kWarpSize;
  float sum = lane < n ? decays[lane] : (lane == n ? own : 0.0f);  // from this lane on
#pragma unroll
  for (int offset = 1; offset < kWarpSize; offset *= 2) {
    const float above = __shfl_down_sync(kFullWarp, sum, offset);
    if (lane + offset < kWarpSize) sum += above;
  }
  *all = DecayOf(__shfl_sync(kFullWarp, sum, 0));
  const float after = __shfl_down_sync(kFullWarp, sum, 1);
  return lane >= n ? 1.0f : DecayOf(after);
}

// The warp's entries' weights. `late`: LateDecay of the lane.
template <typename Tile, typename IO>
__device__ void WeighEntries(const WarpEntries<Tile, IO>& entries, const DeltaNorms& norms, int n,
                             float late, DeltaRingShared<Tile>& shared) {
  using Entries = WarpEntries<Tile, IO>;
#pragma unroll
  for (int e = 0; e < Entries::kEntries; ++e) {
    const int j = Entries::entry(e);
    if (j >= n) break;
    float kk = 0, with_k = 0, with_q = 0;
#pragma unroll
    for (int i = 0; i < Entries::kPairs; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float k = AsFloat(entries.k[e][i].lanes[h]);
        const float2 kq = shared.delta.kq[Entries::element(i) + h];
        kk += k * k;
        with_k += k * kq.x;
        with_q += k * kq.y;
      }
    }
    const float weight = __shfl_sync(kFullWarp, late, j) * NormOf(WarpSum(kk));
    with_k = WarpSum(with_k);
    with_q = WarpSum(with_q);
    if (threadIdx.x % kWarpSize == 0) {
      shared.k_weights[j] = weight * with_k * norms.k;
      shared.q_weights[j] = weight * with_q * norms.q;
      shared.fold_weights[j] = weight;
    }
  }
}

// d of the row group's entries.
template <typename Tile>
struct GroupEntries {
  static constexpr int kEntries = (kMaxDeltaRing + Tile::kRowGroups - 1) / Tile::kRowGroups;

  static __device__ int entry(int e) { return Tile::row_group() + e * Tile::kRowGroups; }

  __device__ void Load(const float* values, int n, int64_t value_dim, int col) {
#pragma unroll
    for (int e = 0; e < kEntries; ++e) {
      d[e] = {};
      if (entry(e) < n && col < value_dim) {
        d[e] = *reinterpret_cast<const float4*>(values + entry(e) * value_dim + col);
      }
    }
  }
  float4 d[kEntries];
};

__device__ inline void AddScaled(float scale, const float4& x, float* sums) {
  sums[0] += scale * x.x;
  sums[1] += scale * x.y;
  sums[2] += scale * x.z;
  sums[3] += scale * x.w;
}

// The thread's part of what S0 and the entries give for k_t and q_t: S0^T k and S0^T q over its
// rows of S, and the entries of its row group.
template <typename Tile>
__device__ DeltaProducts<4> MultiplyStateAndEntries(const DeltaRingShared<Tile>& shared,
                                                    const GroupEntries<Tile>& entries, int n,
                                                    float k_scale, float q_scale) {
  DeltaProducts<4> sums;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const float2 kq = shared.delta.kq[Tile::row(i)];
    const float4 x = shared.tile[i][threadIdx.x];
    AddScaled(kq.x, x, sums.y.lanes);
    AddScaled(kq.y, x, sums.z.lanes);
  }
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    sums.y.lanes[c] *= k_scale;
    sums.z.lanes[c] *= q_scale;
  }
#pragma unroll
  for (int e = 0; e < GroupEntries<Tile>::kEntries; ++e) {
    const int j = GroupEntries<Tile>::entry(e);
    if (j >= n) break;
    AddScaled(shared.k_weights[j], entries.d[e], sums.y.lanes);
    AddScaled(shared.q_weights[j], entries.d[e], sums.z.lanes);
  }
  return sums;
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_ENTRIES_CUH_
