// The recurrent kernel of the gated delta rule for aligned rows and keys that a block's threads
// divide evenly: S goes through registers. Device code.
//
// A block has one sequence, one value head and kCols columns of Dv. A thread holds 16 bytes of
// some rows of S, all of it loaded before anything is computed, so that a block's whole tile is on
// its way at once. Per row of the step
//   y = S^T k, z = S^T q    one pass over the tile, one reduction over the threads of a column
//   d = beta (v - e^g y),  o = e^g z + (k . q) d,  S <- e^g S + k d^T
// so that o does not wait for the new S. k and q enter the pass as they come; their norms, reduced
// meanwhile, scale y and z.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_RECURRENT_CUH_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_RECURRENT_CUH_

#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gated_delta_rows.cuh"

namespace winnow::cuda {

// 16 bytes of a row of S, as they are in memory: two bf16 stay in one register.
template <typename State>
struct StateVector;

template <>
struct StateVector<float> {
  uint32_t words[4];

  __device__ void Read(float (&x)[4]) const {
#pragma unroll
    for (int c = 0; c < 4; ++c) x[c] = __uint_as_float(words[c]);
  }
  __device__ void Write(const float (&x)[4]) {
#pragma unroll
    for (int c = 0; c < 4; ++c) words[c] = __float_as_uint(x[c]);
  }
  __device__ void ReadAgain(float (&x)[4]) const { Read(x); }
};

template <>
struct StateVector<BF16> {
  uint32_t words[4];

  __device__ void Read(float (&x)[8]) const {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      x[2 * c] = __uint_as_float(words[c] << 16);
      x[2 * c + 1] = __uint_as_float(words[c] & 0xffff0000u);
    }
  }
  __device__ void Write(const float (&x)[8]) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(x[2 * c], x[2 * c + 1]);
      words[c] = *reinterpret_cast<const uint32_t*>(&pair);
    }
  }
  // The same by other instructions: else the compiler keeps the floats of Read, in twice the
  // registers.
  __device__ void ReadAgain(float (&x)[8]) const {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      x[2 * c] = __uint_as_float(__byte_perm(words[c], 0, 0x1044));
      x[2 * c + 1] = __uint_as_float(__byte_perm(words[c], 0, 0x3244));
    }
  }
};

template <typename State>
__device__ StateVector<State> LoadState(const State* from) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  return {{bits.x, bits.y, bits.z, bits.w}};
}
template <typename State>
__device__ void StoreState(State* to, const StateVector<State>& s) {
  *reinterpret_cast<uint4*>(to) = make_uint4(s.words[0], s.words[1], s.words[2], s.words[3]);
}

// How a block's threads share a tile of kKeyDim rows and kCols columns: neighbours have
// neighbouring columns, a thread has every kRowGroups-th row.
template <typename State, int kKeyDim_, int kCols_, int kThreads_>
struct DeltaTile {
  static constexpr int kKeyDim = kKeyDim_;
  static constexpr int kCols = kCols_;
  static constexpr int kThreads = kThreads_;
  static constexpr int kVec = kVectorLanes<State>;
  static constexpr int kColGroups = kCols / kVec;
  static constexpr int kRowGroups = kThreads / kColGroups;
  static constexpr int kRows = kKeyDim / kRowGroups;  // per thread
  static constexpr int kWarps = kThreads / kWarpSize;
  static_assert(kRows * kRowGroups == kKeyDim && kWarpSize % kColGroups == 0);

  using Vector = StateVector<State>;

  static __device__ int col_group() { return threadIdx.x % kColGroups; }
  static __device__ int row_group() { return threadIdx.x / kColGroups; }
  static __device__ int row(int i) { return i * kRowGroups + row_group(); }
};

// Of the columns of a thread.
template <int kVec>
using DeltaParts = Pack<float, kVec>;

// Shared memory of a block.
template <typename Tile>
struct DeltaShared {
  float2 kq[Tile::kKeyDim];  // k and q of the row, as they come
  DeltaParts<Tile::kVec> y_parts[Tile::kWarps][Tile::kColGroups];
  DeltaParts<Tile::kVec> z_parts[Tile::kWarps][Tile::kColGroups];
};

// Brings a row's k and q into shared memory.
template <typename Tile, typename IO>
__device__ void StageKeys(const IO* k, const IO* q, DeltaShared<Tile>& shared) {
#pragma unroll
  for (int i = threadIdx.x; i < Tile::kKeyDim; i += Tile::kThreads) {
    shared.kq[i] = {AsFloat(k[i]), AsFloat(q[i])};
  }
}

// Sums over k and q of one row.
struct DeltaNorms {
  float k;   // 1 / |k|
  float q;   // Dk^-1/2 / |q|
  float kq;  // normalised and scaled: (k . q)
};

// Every warp for itself, so that the sums do not depend on the number of threads.
template <typename Tile>
__device__ DeltaNorms ReadNorms(const DeltaShared<Tile>& shared) {
  float kk = 0, qq = 0, kq = 0;
#pragma unroll
  for (int i = threadIdx.x % kWarpSize; i < Tile::kKeyDim; i += kWarpSize) {
    const float2 x = shared.kq[i];
    kk += x.x * x.x;
    qq += x.y * x.y;
    kq += x.x * x.y;
  }
  const float k = NormOf(WarpSum(kk));
  const float q = NormOf(WarpSum(qq)) * (1.0f / sqrtf(static_cast<float>(Tile::kKeyDim)));
  return {k, q, WarpSum(kq) * k * q};
}

template <int kVec>
struct DeltaProducts {
  DeltaParts<kVec> y = {};  // S^T k
  DeltaParts<kVec> z = {};  // S^T q
};

// The thread's parts of S^T k and S^T q, k and q as they come.
template <typename Tile>
__device__ DeltaProducts<Tile::kVec> MultiplyState(const typename Tile::Vector (&s)[Tile::kRows],
                                                   const DeltaShared<Tile>& shared) {
  constexpr int kVec = Tile::kVec;
  DeltaProducts<kVec> sums;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const float2 kq = shared.kq[Tile::row(i)];
    float x[kVec];
    s[i].Read(x);
#pragma unroll
    for (int c = 0; c < kVec; ++c) {
      sums.y.lanes[c] += x[c] * kq.x;
      sums.z.lanes[c] += x[c] * kq.y;
    }
  }
  return sums;
}

// Sums of kCount warps' parts: halves first, so that it is the order of a butterfly.
template <int kCount, int kVec, int kColGroups>
__device__ DeltaParts<kVec> SumParts(const DeltaParts<kVec> (*parts)[kColGroups], int col_group) {
  if constexpr (kCount == 1) {
    return parts[0][col_group];
  } else {
    DeltaParts<kVec> sum = SumParts<kCount / 2>(parts, col_group);
    const DeltaParts<kVec> more = SumParts<kCount - kCount / 2>(parts + kCount / 2, col_group);
#pragma unroll
    for (int c = 0; c < kVec; ++c) sum.lanes[c] += more.lanes[c];
    return sum;
  }
}

// Sums over the row groups, in every thread of a column group: over those of the warp, then, after
// a barrier, over the warps. Pairs of neighbours first, then pairs of pairs, whatever is in a warp:
// so tiles of other widths give the same bits.
template <typename Tile>
__device__ DeltaProducts<Tile::kVec> ReduceProducts(DeltaProducts<Tile::kVec> sums,
                                                    DeltaShared<Tile>& shared) {
  constexpr int kVec = Tile::kVec;
#pragma unroll
  for (int offset = Tile::kColGroups; offset < kWarpSize; offset *= 2) {
#pragma unroll
    for (int c = 0; c < kVec; ++c) {
      sums.y.lanes[c] += __shfl_xor_sync(kFullWarp, sums.y.lanes[c], offset);
      sums.z.lanes[c] += __shfl_xor_sync(kFullWarp, sums.z.lanes[c], offset);
    }
  }
  if (threadIdx.x % kWarpSize < Tile::kColGroups) {
    shared.y_parts[threadIdx.x / kWarpSize][Tile::col_group()] = sums.y;
    shared.z_parts[threadIdx.x / kWarpSize][Tile::col_group()] = sums.z;
  }
  __syncthreads();
  return {SumParts<Tile::kWarps>(shared.y_parts, Tile::col_group()),
          SumParts<Tile::kWarps>(shared.z_parts, Tile::col_group())};
}

template <typename IO, typename Tile, typename State, int kMinBlocks>
__global__ void __launch_bounds__(Tile::kThreads, kMinBlocks)
    DeltaRecurrentKernel(const __grid_constant__ DeltaParams p) {
  constexpr int kVec = Tile::kVec;
  using Values = Pack<IO, kVec>;
  __shared__ DeltaShared<Tile> shared;
  StartAfterPrevious();
  const DeltaHead<IO> head(p, blockIdx.y);
  const int begin = p.row_offsets[blockIdx.z];
  const int end = p.row_offsets[blockIdx.z + 1];
  if (end - begin < p.least_rows || end - begin > p.most_rows) return;
  const int col = blockIdx.x * Tile::kCols + Tile::col_group() * kVec;
  const bool has_cols = col < p.value_dim;

  State* state =
      head.template state<State>(p.slots[blockIdx.z]) + int64_t{Tile::row(0)} * p.value_dim + col;
  const int64_t step = int64_t{Tile::kRowGroups} * p.value_dim;
  typename Tile::Vector s[Tile::kRows];
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    s[i] = {};
    if (has_cols) s[i] = LoadState(state + i * step);
  }

  for (int row = begin; row < end; ++row) {
    StageKeys<Tile>(head.k(row), head.q(row), shared);
    Values v = {};
    if (has_cols) v = *reinterpret_cast<const Values*>(head.v(row) + col);
    const float decay = DecayOf(head.log_decay(row));
    const float beta = head.beta(row);
    __syncthreads();
    const DeltaNorms norms = ReadNorms(shared);
    const DeltaProducts<kVec> products =
        ReduceProducts<Tile>(MultiplyState<Tile>(s, shared), shared);

    float d[kVec];
    Values out;
#pragma unroll
    for (int c = 0; c < kVec; ++c) {
      d[c] = beta * (AsFloat(v.lanes[c]) - decay * norms.k * products.y.lanes[c]);
      out.lanes[c] = FromFloat<IO>(decay * norms.q * products.z.lanes[c] + norms.kq * d[c]);
    }
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      const float k = shared.kq[Tile::row(i)].x * norms.k;
      float x[kVec];
      s[i].ReadAgain(x);
#pragma unroll
      for (int c = 0; c < kVec; ++c) x[c] = decay * x[c] + k * d[c];
      s[i].Write(x);
    }
    if (Tile::row_group() == 0 && has_cols) *reinterpret_cast<Values*>(head.out(row) + col) = out;
    __syncthreads();  // the next row's k and q overwrite these
  }

  if (!has_cols) return;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) StoreState(state + i * step, s[i]);
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_RECURRENT_CUH_
