// The ring form of the gated delta rule for single tokens. Device code.
//
// Tiles are those of the recurrent kernel (gated_delta_recurrent.cuh), but S lands in shared
// memory: mostly it is used once only, and with fewer registers more blocks are on their way at a
// time. Beside S a warp reads every kWarps-th entry's k, for its weights e^{G_t - G_j} (k_j . k_t)
// and (k_j . q_t), and a thread the d of its row group's entries, which it adds, so weighted, to
// its part of S^T k and S^T q before the one reduction. S is written back by every length-th token
// only, with all entries folded in.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_RING_CUH_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_RING_CUH_

#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gated_delta_entries.cuh"
#include "kernels/cuda/gated_delta_recurrent.cuh"
#include "kernels/cuda/gated_delta_rows.cuh"

namespace winnow::cuda {

// Sum of the entries' weighted k d^T, four entries at a time, onto rows of the thread's part of S.
// `keys`: weighted k of four entries by row, the rest zeros.
template <typename Tile, int kCount>
__device__ void AddEntries(const float4 (*keys)[Tile::kKeyDim], const float* values, int n,
                           int first_row, int64_t value_dim, float (&x)[kCount][4]) {
  for (int j = 0; j < n; j += 4) {
    float4 d[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      d[e] = {};
      if (j + e < n) d[e] = *reinterpret_cast<const float4*>(values + (j + e) * value_dim);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float4 k = keys[j / 4][Tile::row(first_row + i)];
      AddScaled(k.x, d[0], x[i]);
      AddScaled(k.y, d[1], x[i]);
      AddScaled(k.z, d[2], x[i]);
      AddScaled(k.w, d[3], x[i]);
    }
  }
}

// The n entries' weighted k for AddEntries, where half of the tile has been. Sixteen loads at a
// time are on their way.
template <typename Tile, typename IO>
__device__ void StageWeightedKeys(const DeltaEntries<IO>& entries, int n, const float* fold_weights,
                                  float4 (*keys)[Tile::kKeyDim]) {
  constexpr int kAtOnce = 16;
  static_assert(Tile::kThreads == Tile::kKeyDim);
  const int row = threadIdx.x;
  for (int first = 0; first < n; first += kAtOnce) {
    float k[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      k[j] = first + j < n ? AsFloat(entries.k[(first + j) * Tile::kKeyDim + row]) : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) k[j] *= first + j < n ? fold_weights[first + j] : 0.0f;
#pragma unroll
    for (int j = 0; j < kAtOnce; j += 4) {
      keys[(first + j) / 4][row] = {k[j], k[j + 1], k[j + 2], k[j + 3]};
    }
  }
}

// In one access: the compiler, left alone, makes some into four.
__device__ inline void StoreFour(float* to, const float (&x)[4]) {
  asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
               "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3])
               : "memory");
}

// state <- decay S + sum of the n entries' weighted k d^T (+ own_scale k_t own_d^T), for the
// thread's part of S, in two halves. By the whole block. `col`: of the head.
template <typename Tile, typename IO>
__device__ void FoldEntries(DeltaRingShared<Tile>& shared, const DeltaEntries<IO>& entries, int n,
                            float decay, float own_scale, const float4& own_d, int col,
                            int64_t value_dim, float* state) {
  constexpr int kHalf = Tile::kRows / 2;
  auto* keys = reinterpret_cast<float4(*)[Tile::kKeyDim]>(shared.tile);
  static_assert(kHalf * Tile::kThreads >= kMaxDeltaRing / 4 * Tile::kKeyDim);
  const bool has_cols = col < value_dim;
#pragma unroll
  for (int first = 0; first < Tile::kRows; first += kHalf) {
    float x[kHalf][4];
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float4 s = shared.tile[first + i][threadIdx.x];
      x[i][0] = decay * s.x;
      x[i][1] = decay * s.y;
      x[i][2] = decay * s.z;
      x[i][3] = decay * s.w;
      AddScaled(own_scale * shared.delta.kq[Tile::row(first + i)].x, own_d, x[i]);
    }
    if (first == 0) {
      __syncthreads();
      StageWeightedKeys<Tile>(entries, n, shared.fold_weights, keys);
      __syncthreads();
    }
    if (!has_cols) continue;
    AddEntries<Tile>(keys, entries.d + col, n, first, value_dim, x);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      StoreFour(state + (first + i) * Tile::kRowGroups * value_dim, x[i]);
    }
  }
}

// The token as entry n.
template <typename Tile, typename IO>
__device__ void AppendEntry(const DeltaEntries<IO>& entries, const DeltaHead<IO>& head, int row,
                            int n, int col, float log_decay, const float4& d) {
  if (Tile::row_group() == 0 && col < head.params.value_dim) {
    *reinterpret_cast<float4*>(entries.d + int64_t{n} * head.params.value_dim + col) = d;
  }
  if (blockIdx.x != 0) return;
  if (threadIdx.x == 0) entries.decays[n] = log_decay;
  if (head.head % head.params.heads_per_key != 0) return;
  for (int i = threadIdx.x; i < Tile::kKeyDim; i += Tile::kThreads) {
    entries.k[n * Tile::kKeyDim + i] = head.k(row)[i];
  }
}

template <typename IO, typename Tile, int kMinBlocks>
__global__ void __launch_bounds__(Tile::kThreads, kMinBlocks)
    DeltaRingKernel(const __grid_constant__ DeltaParams p,
                    const __grid_constant__ DeltaRingParams ring) {
  using Values = Pack<IO, 4>;
  extern __shared__ __align__(16) std::byte dynamic[];
  auto& shared = *reinterpret_cast<DeltaRingShared<Tile>*>(dynamic);
  const DeltaHead<IO> head(p, blockIdx.y);
  const int row = p.row_offsets[blockIdx.z], next_row = p.row_offsets[blockIdx.z + 1];
  const int slot = p.slots[blockIdx.z], n = ring.counts[blockIdx.z];
  if (next_row - row != 1) return;
  const int col = blockIdx.x * Tile::kCols + Tile::col_group() * 4;
  const bool has_cols = col < p.value_dim;
  float* state = head.template state<float>(slot) + int64_t{Tile::row(0)} * p.value_dim + col;
  // The entries first: what follows from them is the longer way.
  const DeltaEntries<IO> entries(ring, head, slot);
  WarpEntries<Tile, IO> warp_entries;
  warp_entries.Load(entries.k, n);
  GroupEntries<Tile> group_entries;
  group_entries.Load(entries.d, n, p.value_dim, col);
  StageState<Tile>(state, p.value_dim, has_cols, shared);
  StageKeys<Tile>(head.k(row), head.q(row), shared.delta);
  const float log_decay = head.log_decay(row), beta = head.beta(row);
  Values v = {};
  if (has_cols) v = *reinterpret_cast<const Values*>(head.v(row) + col);
  float decay;
  const float late = LateDecay(entries.decays, n, log_decay, &decay);
  __syncthreads();
  const DeltaNorms norms = ReadNorms(shared.delta);
  WeighEntries<Tile, IO>(warp_entries, norms, n, late, shared);
  WaitForCopies();  // a thread reads what it copied itself
  __syncthreads();
  const DeltaProducts<4> products = ReduceProducts<Tile>(
      MultiplyStateAndEntries<Tile>(shared, group_entries, n, decay * norms.k, decay * norms.q),
      shared.delta);

  float d[4];
  Values out;
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    d[c] = beta * (AsFloat(v.lanes[c]) - products.y.lanes[c]);
    out.lanes[c] = FromFloat<IO>(products.z.lanes[c] + norms.kq * d[c]);
  }
  if (Tile::row_group() == 0 && has_cols) *reinterpret_cast<Values*>(head.out(row) + col) = out;
  const float4 own_d = {d[0], d[1], d[2], d[3]};
  if (n + 1 < ring.length) {
    AppendEntry<Tile>(entries, head, row, n, col, log_decay, own_d);
  } else {
    FoldEntries<Tile>(shared, entries, n, decay, norms.k, own_d, col, p.value_dim, state);
  }
}

// The fold alone, without a token.
template <typename IO, typename Tile, int kMinBlocks>
__global__ void __launch_bounds__(Tile::kThreads, kMinBlocks)
    DeltaFoldKernel(const __grid_constant__ DeltaParams p,
                    const __grid_constant__ DeltaRingParams ring) {
  extern __shared__ __align__(16) std::byte dynamic[];
  auto& shared = *reinterpret_cast<DeltaRingShared<Tile>*>(dynamic);
  const DeltaHead<IO> head(p, blockIdx.y);
  const int num_rows = p.row_offsets[blockIdx.z + 1] - p.row_offsets[blockIdx.z];
  const int slot = p.slots[blockIdx.z];
  const int n = ring.counts[blockIdx.z];
  if (n == 0 || num_rows < p.least_rows || num_rows > p.most_rows) return;
  const int col = blockIdx.x * Tile::kCols + Tile::col_group() * 4;
  const bool has_cols = col < p.value_dim;
  float* state = head.template state<float>(slot) + int64_t{Tile::row(0)} * p.value_dim + col;
  StageState<Tile>(state, p.value_dim, has_cols, shared);
  for (int i = threadIdx.x; i < Tile::kKeyDim; i += Tile::kThreads) shared.delta.kq[i] = {};
  const DeltaEntries<IO> entries(ring, head, slot);
  WarpEntries<Tile, IO> warp_entries;
  warp_entries.Load(entries.k, n);
  float decay;
  const float late = LateDecay(entries.decays, n, 0.0f, &decay);
  __syncthreads();
  WeighEntries<Tile, IO>(warp_entries, DeltaNorms{}, n, late, shared);
  WaitForCopies();
  __syncthreads();
  FoldEntries<Tile>(shared, entries, n, decay, 0.0f, float4{}, col, p.value_dim, state);
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_RING_CUH_
