// The first kernel of the chunked gated delta rule: what a chunk and head need besides S. A block
// of one warpgroup per chunk and value head. Device code for sm_90a.
//
// K K^T and Q K^T on the tensor cores; the triangular system's inverse in float32: four diagonal
// blocks of 16 by substitution, then twice as large ones of halves,
//   [A 0; B C]^-1 = [A^-1 0; -C^-1 B A^-1, C^-1].
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_PREPARE_CUH_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_PREPARE_CUH_

#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gated_delta_chunk.cuh"
#include "kernels/cuda/gated_delta_rows.cuh"
#include "kernels/cuda/sm90.cuh"
#include "kernels/cuda/sm90_multiply.cuh"

namespace winnow::cuda {

// Floats between rows of a [chunk, chunk] matrix: 16-byte accesses of neighbouring rows fall into
// different banks.
inline constexpr int kSystemStride = kDeltaChunk + 4;

// Shared memory of a block beside the tiles of k and q, whose place `system`, `inverse` and the
// record take over once the products are done.
struct PrepareShared {
  SharedBarrier arrived;
  float log_decay[kDeltaChunk];  // G
  float beta[kDeltaChunk];
  float k_norm[kDeltaChunk];
  float q_norm[kDeltaChunk];
};
struct PrepareWork {
  DeltaRecord record;
  float system[kDeltaChunk][kSystemStride];   // A, strictly lower
  float inverse[kDeltaChunk][kSystemStride];  // (I + A)^-1
  float product[kDeltaChunk][kSystemStride];
};

template <int kKeyDim>
constexpr uint32_t PrepareSharedBytes() {
  constexpr uint32_t kTiles = kKeyDim / 64 * kKeyTileBytes;
  return (kTiles > sizeof(PrepareWork) ? kTiles : sizeof(PrepareWork)) + 1024;
}

// G and beta of the chunk's rows, by the first two warps.
__device__ inline void PrepareGates(const DeltaHead<BF16>& head, DeltaChunk chunk,
                                    PrepareShared& shared) {
  const int i = threadIdx.x;
  if (i >= kDeltaChunk) return;
  const bool real = i < chunk.num_rows;
  shared.log_decay[i] = real ? head.log_decay(chunk.first_row + i) : 0.0f;
  shared.beta[i] = real ? head.beta(chunk.first_row + i) : 0.0f;
}

// Log decays to their running sums, by the first warp: two rows per lane.
__device__ inline void SumLogDecays(PrepareShared& shared) {
  if (threadIdx.x >= kWarpSize) return;
  const int lane = threadIdx.x;
  const float first = shared.log_decay[2 * lane], second = shared.log_decay[2 * lane + 1];
  float sum = first + second;
#pragma unroll
  for (int offset = 1; offset < kWarpSize; offset *= 2) {
    const float below = __shfl_up_sync(kFullWarp, sum, offset);
    if (lane >= offset) sum += below;
  }
  shared.log_decay[2 * lane] = sum - second;
  shared.log_decay[2 * lane + 1] = sum;
}

// Norms of the tile's 128 rows, one per thread.
template <int kKeyDim>
__device__ void PrepareNorms(uint32_t keys, PrepareShared& shared) {
  const uint32_t row = threadIdx.x;
  float sum = 0;
#pragma unroll 8
  for (int i = 0; i < kKeyDim / 8; ++i) {
    const uint32_t at = keys + i / 8 * kKeyTileBytes + SwizzledOffset(row, i % 8);
    uint32_t words[4];
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(at));
#pragma unroll
    for (const uint32_t word : words) {
      const float low = __uint_as_float(word << 16), high = __uint_as_float(word & 0xffff0000u);
      sum += low * low + high * high;
    }
  }
  if (row < kDeltaChunk) {
    shared.k_norm[row] = NormOf(sum);
  } else {
    shared.q_norm[row - kDeltaChunk] = NormOf(sum) * (1.0f / sqrtf(static_cast<float>(kKeyDim)));
  }
}

__device__ inline uint32_t PackBF16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// A pair of neighbouring columns of a record's tile.
__device__ inline void StorePair(std::byte* tile, int row, int col, float left, float right) {
  const uint32_t at = SwizzledOffset(row, col / 8) + col % 8 * 2;
  *reinterpret_cast<uint32_t*>(tile + at) = PackBF16(left, right);
}

// A and M from the thread's parts of K K^T and Q K^T.
__device__ inline void WeighProducts(const float (&kk)[32], const float (&qk)[32],
                                     const PrepareShared& shared, PrepareWork& work) {
  const int row0 = threadIdx.x / kWarpSize * 16 + threadIdx.x % kWarpSize / 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = row0 + 8 * half;
    const float sum = shared.log_decay[row], beta = shared.beta[row];
    const float k_norm = shared.k_norm[row], q_norm = shared.q_norm[row];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float a[2], m[2];
      const int col = 8 * j + threadIdx.x % 4 * 2;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        // Later columns have differences > 0; they are masked.
        const float decay =
            DecayOf(fminf(sum - shared.log_decay[col + e], 0.0f)) * shared.k_norm[col + e];
        const int at = 4 * j + 2 * half + e;
        a[e] = col + e < row ? beta * k_norm * decay * kk[at] : 0.0f;
        m[e] = col + e <= row ? q_norm * decay * qk[at] : 0.0f;
      }
      *reinterpret_cast<float2*>(&work.system[row][col]) = {a[0], a[1]};
      StorePair(work.record.mix, row, col, m[0], m[1]);
    }
  }
}

// The inverses of the diagonal blocks of 16, one per warp, a column per lane of the first half. The
// other half clears the block right of it that belongs to the same block of 32.
__device__ inline void InvertDiagonal(PrepareWork& work) {
  const int warp = threadIdx.x / kWarpSize, first = warp * 16, col = threadIdx.x % kWarpSize;
  if (col >= 16) {
    if (warp % 2 != 0) return;
#pragma unroll
    for (int i = 0; i < 16; ++i) work.inverse[first + i][first + col] = 0.0f;
    return;
  }
  float x[16];
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    float sum = i == col ? 1.0f : 0.0f;
#pragma unroll
    for (int j = 0; j < i; ++j) sum -= work.system[first + i][first + j] * x[j];
    x[i] = sum;
    work.inverse[first + i][first + col] = sum;
  }
}

// to[kSize, kSize] = sign a b, matrices in rows of kSystemStride; every thread 2 rows of 4 columns.
template <int kSize>
__device__ void MultiplyBlock(const float* a, const float* b, float sign, int task, float* to) {
  const int row = task / (kSize / 4) * 2, col = task % (kSize / 4) * 4;
  float4 sums[2] = {};
#pragma unroll 8
  for (int i = 0; i < kSize; ++i) {
    const float4 y = *reinterpret_cast<const float4*>(b + i * kSystemStride + col);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float x = a[(row + r) * kSystemStride + i];
      sums[r].x += x * y.x;
      sums[r].y += x * y.y;
      sums[r].z += x * y.z;
      sums[r].w += x * y.w;
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    *reinterpret_cast<float4*>(to + (row + r) * kSystemStride + col) = {
        sign * sums[r].x, sign * sums[r].y, sign * sums[r].z, sign * sums[r].w};
  }
}

// The block of rows [first + kSize, first + 2 kSize) left of the diagonal block there, given the
// inverses of both diagonal blocks. `tasks` threads of kSize^2 / 8.
template <int kSize>
__device__ void JoinHalves(PrepareWork& work, int first, int task, bool active) {
  if (active) {
    MultiplyBlock<kSize>(&work.system[first + kSize][first], &work.inverse[first][first], 1.0f,
                         task, &work.product[first + kSize][first]);
  }
  __syncthreads();
  if (active) {
    MultiplyBlock<kSize>(&work.inverse[first + kSize][first + kSize],
                         &work.product[first + kSize][first], -1.0f, task,
                         &work.inverse[first + kSize][first]);
  }
  __syncthreads();
}

__device__ inline void InvertSystem(PrepareWork& work) {
  InvertDiagonal(work);
  __syncthreads();
  const int thread = threadIdx.x;
  JoinHalves<16>(work, thread / 32 % 2 * 32, thread % 32, thread < 64);
  JoinHalves<32>(work, 0, thread, true);
}

// The record's other parts.
__device__ inline void FinishRecord(const PrepareShared& shared, PrepareWork& work) {
  for (int i = threadIdx.x; i < kDeltaChunk * kDeltaChunk / 2; i += kWarpgroupSize) {
    const int row = i / (kDeltaChunk / 2), col = i % (kDeltaChunk / 2) * 2;
    // Above the diagonal block nothing has been written.
    const bool lower = col / 16 <= row / 16;
    const float2 x = lower ? *reinterpret_cast<const float2*>(&work.inverse[row][col]) : float2{};
    StorePair(work.record.solve, row, col, x.x * shared.beta[col], x.y * shared.beta[col + 1]);
  }
  const int i = threadIdx.x;
  const float last = shared.log_decay[kDeltaChunk - 1];
  if (i < kDeltaChunk) {
    const float decay = DecayOf(shared.log_decay[i]);
    work.record.k_decay[i] = decay * shared.k_norm[i];
    work.record.q_decay[i] = decay * shared.q_norm[i];
    work.record.late_decay[i] = DecayOf(last - shared.log_decay[i]) * shared.k_norm[i];
  }
  if (i == 0) work.record.decay = DecayOf(last);
}

template <int kKeyDim>
__device__ void LoadKeys(const DeltaMaps& maps, DeltaChunk chunk, int key_head, uint32_t keys,
                         const SharedBarrier& arrived) {
#pragma unroll
  for (int i = 0; i < kKeyDim / 64; ++i) {
    const int col = key_head * kKeyDim + i * 64;
    const uint32_t tile = keys + i * kKeyTileBytes;
    CopyBox(maps.k, col, chunk.first_row, tile, arrived);
    CopyBox(maps.q, col, chunk.first_row, tile + kKeyTileBytes / 2, arrived);
  }
}

// Which sequence has this record, if any: the last one whose records begin at or before it.
__device__ inline int SequenceOfRecord(const DeltaParams& p, int record) {
  int low = 0, high = p.num_sequences - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (p.row_offsets[middle] / kDeltaChunk + 2 * middle <= record) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

template <int kKeyDim>
__global__ void __launch_bounds__(kWarpgroupSize)
    DeltaPrepareKernel(const __grid_constant__ DeltaParams p,
                       const __grid_constant__ DeltaMaps maps, DeltaRecord* records) {
  extern __shared__ std::byte dynamic[];
  __shared__ PrepareShared shared;
  const int index = blockIdx.x;
  const DeltaSequence sequence(p, SequenceOfRecord(p, index));
  if (index - sequence.first_record() >= sequence.num_chunks()) return;
  const DeltaChunk chunk = sequence.chunk(index - sequence.first_record());
  const DeltaHead<BF16> head(p, blockIdx.y);
  const uint32_t keys = (SharedAddress(dynamic) + 1023) / 1024 * 1024;
  auto& work = *reinterpret_cast<PrepareWork*>(dynamic + (keys - SharedAddress(dynamic)));

  if (threadIdx.x == 0) {
    shared.arrived.Init(1);
    FenceBarrierInit();
    shared.arrived.ArriveExpecting(kKeyDim / 64 * kKeyTileBytes);
    LoadKeys<kKeyDim>(maps, chunk, head.key_head, keys, shared.arrived);
  }
  PrepareGates(head, chunk, shared);
  __syncthreads();
  SumLogDecays(shared);
  shared.arrived.Wait(0);
  if (chunk.num_rows < kDeltaChunk) {  // those beyond are another sequence's
    for (int i = 0; i < kKeyDim / 32; ++i) {
      ClearTileRows(keys + i * (kKeyTileBytes / 2), chunk.num_rows, threadIdx.x, kWarpgroupSize);
    }
    FenceAsyncProxy();
    __syncthreads();
  }

  float kk[32], qk[32];
  MultiplyBegin();
#pragma unroll
  for (int i = 0; i < kKeyDim / 16; ++i) {
    const uint32_t at = keys + i / 4 * kKeyTileBytes + i % 4 * 32;
    Multiply(kk, MatrixByRows(at), MatrixByRows(at), i > 0);
    Multiply(qk, MatrixByRows(at + kKeyTileBytes / 2), MatrixByRows(at), i > 0);
  }
  MultiplyEnd();
  PrepareNorms<kKeyDim>(keys, shared);
  MultiplyWait<0>();
  __syncthreads();  // the tiles' place is free, and norms and sums are there

  WeighProducts(kk, qk, shared, work);
  __syncthreads();
  InvertSystem(work);
  FinishRecord(shared, work);
  FenceAsyncProxy();
  __syncthreads();
  if (threadIdx.x == 0) {
    DeltaRecord* to = records + int64_t{index} * p.value_heads + head.head;
    CopyBytesOut(SharedAddress(&work.record), to, kDeltaRecordBytes);
    CopiesRead();
  }
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_PREPARE_CUH_
