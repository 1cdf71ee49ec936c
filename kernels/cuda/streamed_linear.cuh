// The kernel of streamed_linear.h. Device code for sm_90a.
//
// Pieces are kBoxColumns (64) of K: a tile [kStreamedOutputs, 64] of W and one [kRows, 64] of x,
// rows of 128 bytes in the 128-byte swizzle. One thread copies, a ring of stages ahead; a warpgroup
// for every 64 rows of W multiplies them by the rows of x, both from shared memory. So outputs are
// rows of the tensor cores' results, and rows of x columns, padded to kRows with zeros. The sums
// are laid where the ring was, for the other blocks of the cluster to read.
#ifndef WINNOW_KERNELS_CUDA_STREAMED_LINEAR_CUH_
#define WINNOW_KERNELS_CUDA_STREAMED_LINEAR_CUH_

#include <cuda.h>

#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/sm90.cuh"
#include "kernels/cuda/sm90_multiply.cuh"
#include "kernels/cuda/streamed_linear.h"
#include "kernels/cuda/tensor_map.h"

namespace winnow::cuda {

struct StreamedParams {
  CUtensorMap weight, x;
  void* out;
  int64_t out_stride;
  int num_rows, num_outputs;
  int num_pieces;    // of K
  int split;         // the cluster's blocks
  bool vector_rows;  // rows of out begin aligned to four elements
};

// Warpgroups that multiply; behind them comes a warp with the copying thread.
inline constexpr int kStreamedGroups = kStreamedOutputs / 64;
inline constexpr int kStreamedConsumers = kStreamedGroups * kWarpgroupSize;
inline constexpr int kStreamedThreads = kStreamedConsumers + kWarpSize;
// Two blocks, often of two products, share a multiprocessor's 228 KB; each costs 1 KB beyond its
// own.
inline constexpr uint32_t kStreamedSharedBytes = 113 * 1024;

// The shared memory of a block that has room for kRows rows of x.
template <int kRows>
struct StreamedRing {
  static constexpr uint32_t kWeightBytes = kStreamedOutputs * kTileRowBytes;
  static constexpr uint32_t kStageBytes = kWeightBytes + kRows * kTileRowBytes;
  // Less what aligns tiles, and the barriers.
  static constexpr int kStages = (kStreamedSharedBytes - 1024 - 256) / kStageBytes;
  static constexpr uint32_t kBytes = kStages * kStageBytes + 1024;
  // Floats between the sums of two rows of x: lanes that hold neighbouring ones meet no bank twice.
  static constexpr int kSumStride = kStreamedOutputs + 4;
  static_assert(kRows * kSumStride * sizeof(float) <= kStages * kStageBytes);
};

struct StreamedBarriers {
  static constexpr int kMaxStages = 6;
  SharedBarrier full[kMaxStages], empty[kMaxStages];
};

// A stage of the ring and how often the ring has been gone through, as a parity.
template <int kStages>
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;

  __device__ void Advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

// Copies the pieces [begin, end) of K of the outputs from `first_output` on, and lets the next
// kernel start when the last one has been asked for: what that kernel asks for then comes behind
// it, and memory stays busy while this kernel ends. One thread.
template <int kRows>
__device__ void StreamPieces(const StreamedParams& p, int begin, int end, int first_output,
                             uint32_t ring, StreamedBarriers& barriers) {
  using Ring = StreamedRing<kRows>;
  const auto copy_weight = [&](int piece, int stage) {
    barriers.full[stage].ArriveExpecting(Ring::kStageBytes);
    CopyBox(p.weight, piece * kBoxColumns, first_output, ring + stage * Ring::kStageBytes,
            barriers.full[stage]);
  };
  const auto copy_rows = [&](int piece, int stage) {
    CopyBox(p.x, piece * kBoxColumns, 0, ring + stage * Ring::kStageBytes + Ring::kWeightBytes,
            barriers.full[stage]);
  };
  const int ahead = min(end, begin + Ring::kStages);
  for (int piece = begin; piece < ahead; ++piece) copy_weight(piece, piece - begin);
  if (ahead == end) LetNextStart();
  PrefetchMap(p.x);
  WaitForPrevious();
  for (int piece = begin; piece < ahead; ++piece) copy_rows(piece, piece - begin);
  RingPlace<Ring::kStages> place;
  for (int piece = ahead; piece < end; ++piece, place.Advance()) {
    barriers.empty[place.stage].Wait(place.parity);
    copy_weight(piece, place.stage);
    copy_rows(piece, place.stage);
  }
  if (ahead < end) LetNextStart();
}

// The sums of a warpgroup's 64 outputs over `count` pieces, spread as sm90_multiply.cuh has it.
template <int kRows>
__device__ void MultiplyPieces(int count, int group, uint32_t ring, StreamedBarriers& barriers,
                               float (&sums)[kRows / 2]) {
  using Ring = StreamedRing<kRows>;
  const bool leads = threadIdx.x % kWarpSize == 0;
  RingPlace<Ring::kStages> place;
  int previous = 0;
  for (int i = 0; i < count; ++i, place.Advance()) {
    barriers.full[place.stage].Wait(place.parity);
    const uint32_t rows = ring + place.stage * Ring::kStageBytes + Ring::kWeightBytes;
    const uint32_t weight = rows - Ring::kWeightBytes + group * 64 * kTileRowBytes;
    MultiplyBegin();
#pragma unroll
    for (int k = 0; k < kBoxColumns / 16; ++k) {
      Multiply(sums, MatrixByRows(weight + k * 32), MatrixByRows(rows + k * 32), true);
    }
    MultiplyEnd();
    MultiplyWait<1>();
    if (i > 0 && leads) barriers.empty[previous].Arrive();
    previous = place.stage;
  }
  MultiplyWait<0>();
}

// sums [64 of the group, kRows] to `to` [kRows, kSumStride].
template <int kRows>
__device__ void StoreSums(const float (&sums)[kRows / 2], int group, float* to) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize % 4;
  to += group * 64 + warp * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) {
    const int row = i / 4 * 8 + lane % 4 * 2 + i % 2;
    to[row * StreamedRing<kRows>::kSumStride + i % 4 / 2 * 8] = sums[i];
  }
}

// Four neighbouring outputs of a row, as far as they exist.
template <typename Out>
__device__ void StoreOutputs(const StreamedParams& p, int row, int output, float4 sum) {
  const Pack<Out, 4> pack = {FromFloat<Out>(sum.x), FromFloat<Out>(sum.y), FromFloat<Out>(sum.z),
                             FromFloat<Out>(sum.w)};
  Out* out = static_cast<Out*>(p.out) + row * p.out_stride + output;
  if (p.vector_rows && output + 4 <= p.num_outputs) {
    *reinterpret_cast<Pack<Out, 4>*>(out) = pack;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (output + i < p.num_outputs) out[i] = pack.lanes[i];
  }
}

// Adds the blocks' sums in the order of their ranks and stores this block's part of the outputs.
template <int kRows, typename Out>
__device__ void AddSums(const StreamedParams& p, int rank, int first_output, uint32_t sums) {
  constexpr int kFours = kStreamedOutputs / 4;  // of a row
  for (int i = threadIdx.x + rank * kStreamedConsumers; i < p.num_rows * kFours;
       i += p.split * kStreamedConsumers) {
    const int row = i / kFours, output = i % kFours * 4;
    const uint32_t place = sums + (row * StreamedRing<kRows>::kSumStride + output) * 4;
    float4 parts[kMaxStreamedSplit];  // all on their way before the first is used
#pragma unroll
    for (int r = 0; r < kMaxStreamedSplit; ++r) {
      if (r < p.split) parts[r] = LoadFromBlock(place, r);
    }
    float4 sum = parts[0];
#pragma unroll
    for (int r = 1; r < kMaxStreamedSplit; ++r) {
      if (r >= p.split) break;
      sum.x += parts[r].x;
      sum.y += parts[r].y;
      sum.z += parts[r].z;
      sum.w += parts[r].w;
    }
    StoreOutputs<Out>(p, row, first_output + output, sum);
  }
}

// Grid: tiles of kStreamedOutputs outputs, of each the blocks of its cluster.
template <int kRows, typename Out>
__global__ void __launch_bounds__(kStreamedThreads, 2)
    StreamedLinearKernel(const __grid_constant__ StreamedParams p) {
  using Ring = StreamedRing<kRows>;
  static_assert(Ring::kStages <= StreamedBarriers::kMaxStages);
  extern __shared__ std::byte memory[];
  __shared__ StreamedBarriers barriers;
  const int rank = blockIdx.x % p.split, first_output = blockIdx.x / p.split * kStreamedOutputs;
  const int begin = p.num_pieces * rank / p.split, end = p.num_pieces * (rank + 1) / p.split;
  const uint32_t ring = (SharedAddress(memory) + 1023) / 1024 * 1024;
  if (threadIdx.x == 0) {
    for (int i = 0; i < Ring::kStages; ++i) {
      barriers.full[i].Init(1);
      barriers.empty[i].Init(kStreamedConsumers / kWarpSize);
    }
    FenceBarrierInit();
  }
  __syncthreads();
  // Of the warp, so that the compiler knows that warps do not divide at branches on it.
  const int group = __shfl_sync(kFullWarp, threadIdx.x / kWarpgroupSize, 0);
  if (group == kStreamedGroups) {
    if (threadIdx.x == kStreamedConsumers) {
      StreamPieces<kRows>(p, begin, end, first_output, ring, barriers);
    }
    __syncwarp();
  } else {
    float sums[kRows / 2] = {};
    MultiplyPieces<kRows>(end - begin, group, ring, barriers, sums);
    NamedBarrier(1, kStreamedConsumers);  // all have read the ring
    std::byte* place = memory + (ring - SharedAddress(memory));
    StoreSums<kRows>(sums, group, reinterpret_cast<float*>(place));
  }
  WaitForPrevious();
  ClusterBarrier();
  if (group < kStreamedGroups) AddSums<kRows, Out>(p, rank, first_output, ring);
  ClusterBarrierOfReads();  // this block's sums must stay as long as others read them
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_STREAMED_LINEAR_CUH_
