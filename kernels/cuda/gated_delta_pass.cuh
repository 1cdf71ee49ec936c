// The second kernel of the chunked gated delta rule: S through a sequence's chunks. Device code for
// sm_90a.
//
// A warpgroup has 64 columns of Dv and keeps S^T [64, Dk] in registers throughout: as sums of the
// update, and rounded to bf16 as the first operand of the products with K and Q. Transposed, every
// product's result is in the layout that the next one takes as its first operand:
//   P^T = S^T K^T, Z^T = S^T Q^T           one product with [K; Q]
//   D^T = (V - k_decay P)^T solve^T
//   O^T = q_decay Z^T + D^T mix^T
//   S^T <- decay S^T + (late_decay D)^T K
// So S never passes through shared memory. In the slot it is of type State, float or bf16. One more
// warp keeps two chunks of k, q, v and records on their way.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_PASS_CUH_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_PASS_CUH_

#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gated_delta_chunk.cuh"
#include "kernels/cuda/gated_delta_prepare.cuh"
#include "kernels/cuda/gated_delta_rows.cuh"
#include "kernels/cuda/sm90.cuh"
#include "kernels/cuda/sm90_multiply.cuh"

namespace winnow::cuda {

inline constexpr int kPassStages = 2;
inline constexpr uint32_t kValueTileBytes = kDeltaChunk * kTileRowBytes;

// A stage of shared memory: [K; Q], the warpgroups' tiles of v, the record.
template <int kKeyDim, int kGroups>
struct PassStage {
  static constexpr uint32_t kKeyBytes = kKeyDim / 64 * kKeyTileBytes;
  static constexpr uint32_t kValues = kKeyBytes;
  static constexpr uint32_t kRecord = kValues + kGroups * kValueTileBytes;
  static constexpr uint32_t kBytes = kRecord + sizeof(DeltaRecord);
  static constexpr uint32_t kCopied = kKeyBytes + kGroups * kValueTileBytes + kDeltaRecordBytes;
};

template <int kKeyDim, int kGroups>
constexpr uint32_t PassSharedBytes() {
  return kPassStages * PassStage<kKeyDim, kGroups>::kBytes + 1024;
}

struct PassBarriers {
  SharedBarrier full[kPassStages];   // copied
  SharedBarrier empty[kPassStages];  // no longer needed
};

// One warpgroup's S^T: element 4 j + e as sm90_multiply.cuh has it, columns are those of Dk.
template <int kKeyDim>
using PassState = float[kKeyDim / 2];

// The copying thread.
template <int kKeyDim, int kGroups>
__device__ void CopyChunks(const DeltaMaps& maps, const DeltaSequence& sequence, int key_head,
                           int value_col, const DeltaRecord* records, int record_stride,
                           uint32_t stages, PassBarriers& barriers) {
  using Stage = PassStage<kKeyDim, kGroups>;
  for (int i = 0; i < sequence.num_chunks(); ++i) {
    const int slot = i % kPassStages;
    const uint32_t stage = stages + slot * Stage::kBytes;
    SharedBarrier& full = barriers.full[slot];
    // The first round finds every stage empty: the phase before the first counts as complete.
    barriers.empty[slot].Wait((i / kPassStages + 1) % 2);
    full.ArriveExpecting(Stage::kCopied);
    const DeltaChunk chunk = sequence.chunk(i);
    LoadKeys<kKeyDim>(maps, chunk, key_head, stage, full);
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      CopyBox(maps.v, value_col + g * 64, chunk.first_row,
              stage + Stage::kValues + g * kValueTileBytes, full);
    }
    CopyBytes(records + int64_t{i} * record_stride, kDeltaRecordBytes, stage + Stage::kRecord,
              full);
  }
}

// S^T of the warpgroup's columns from or to the state [Dk, Dv] at its first column.
template <int kKeyDim, typename State, typename Access>
__device__ void ForState(PassState<kKeyDim>& s, State* state, int64_t value_dim, Access access) {
  const int lane = threadIdx.x % kWarpSize;
  State* first =
      state + threadIdx.x % kWarpgroupSize / kWarpSize * 16 + lane / 4 + lane % 4 * 2 * value_dim;
#pragma unroll
  for (int j = 0; j < kKeyDim / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      access(s[4 * j + e], first + (8 * j + e % 2) * value_dim + e / 2 * 8);
    }
  }
}

// Sums of two column blocks as a first operand.
__device__ inline void PackOperand(const float* sums, uint32_t (&a)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = PackBF16(sums[2 * i], sums[2 * i + 1]);
}

// [P^T, Z^T] = S^T [K; Q]^T. Two operands' worth of S are packed while two are multiplied.
template <int kKeyDim>
__device__ void MultiplyKeys(const PassState<kKeyDim>& s, uint32_t keys, float (&products)[64]) {
  uint32_t a[2][2][4];
#pragma unroll
  for (int i = 0; i < kKeyDim / 32; ++i) {
    if (i >= 2) MultiplyWait<1>();
#pragma unroll
    for (int h = 0; h < 2; ++h) PackOperand(&s[8 * (2 * i + h)], a[i % 2][h]);
    MultiplyBegin();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int k = 2 * i + h;  // sixteens of Dk
      Multiply<MatrixOrder::kByRows>(
          products, a[i % 2][h], MatrixByRows(keys + k / 4 * kKeyTileBytes + k % 4 * 32), k > 0);
    }
    MultiplyEnd();
  }
  MultiplyWait<0>();
}

// The place, for ldmatrix and stmatrix, of 16 rows and the warp's 16 columns of a v tile: matrices
// in the order of an operand's registers.
__device__ inline uint32_t ValueAddress(uint32_t values, int block) {
  const int lane = threadIdx.x % kWarpSize, matrix = lane / 8;
  const int row = 16 * block + matrix / 2 * 8 + lane % 8;
  const int chunk = threadIdx.x % kWarpgroupSize / kWarpSize * 2 + matrix % 2;
  return values + SwizzledOffset(row, chunk);
}

// Scales of the two columns that the thread has in column block j.
__device__ inline float2 ScalesOf(uint32_t scales, int j) {
  float2 pair;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
               : "=f"(pair.x), "=f"(pair.y)
               : "r"(scales + (8 * j + threadIdx.x % 4 * 2) * 4));
  return pair;
}

// R^T = (V - k_decay P)^T, rounded.
__device__ inline void SubtractKnown(const float* products, uint32_t values, uint32_t k_decay,
                                     uint32_t (&r)[4][4]) {
#pragma unroll
  for (int block = 0; block < 4; ++block) {
    uint32_t v[4];
    LoadTransposed(ValueAddress(values, block), v);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int j = 2 * block + i / 2;
      const float2 scale = ScalesOf(k_decay, j);
      const float* p = products + 4 * j + i % 2 * 2;
      const float left = __uint_as_float(v[i] << 16) - scale.x * p[0];
      const float right = __uint_as_float(v[i] & 0xffff0000u) - scale.y * p[1];
      r[block][i] = PackBF16(left, right);
    }
  }
}

// x[., i] scale[i].
__device__ inline void ScaleColumns(float* x, uint32_t scales) {
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float2 scale = ScalesOf(scales, j);
    x[4 * j] *= scale.x;
    x[4 * j + 1] *= scale.y;
    x[4 * j + 2] *= scale.x;
    x[4 * j + 3] *= scale.y;
  }
}

// [., 64 columns of sums] (+)= a b, b a tile of a record.
__device__ inline void MultiplyTile(float (&sums)[32], const uint32_t (&a)[4][4], uint32_t tile,
                                    bool add) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    Multiply<MatrixOrder::kByRows>(sums, a[k], MatrixByRows(tile + k * 32), add || k > 0);
  }
}

// O^T over the warpgroup's tile of v, then to memory, rows by 16 bytes per thread.
__device__ inline void StoreOutput(const float (&o)[32], uint32_t values, int group,
                                   DeltaChunk chunk, BF16* out, int64_t out_stride) {
#pragma unroll
  for (int block = 0; block < 4; ++block) {
    uint32_t a[4];
    PackOperand(&o[8 * block], a);
    StoreTransposed(ValueAddress(values, block), a);
  }
  NamedBarrier(1 + group, kWarpgroupSize);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int task = threadIdx.x % kWarpgroupSize + i * kWarpgroupSize;
    const int row = task / 8, part = task % 8;
    uint4 x;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(values + SwizzledOffset(row, part)));
    if (row < chunk.num_rows) {
      *reinterpret_cast<uint4*>(out + (chunk.first_row + row) * out_stride + part * 8) = x;
    }
  }
}

// One chunk in shared memory at `stage`. `out`: the warpgroup's columns of row 0.
template <int kKeyDim, int kGroups>
__device__ void PassChunk(PassState<kKeyDim>& s, uint32_t stage, int group, DeltaChunk chunk,
                          BF16* out, int64_t out_stride) {
  using Stage = PassStage<kKeyDim, kGroups>;
  const uint32_t values = stage + Stage::kValues + group * kValueTileBytes;
  const uint32_t record = stage + Stage::kRecord;
  const uint32_t solve = record + offsetof(DeltaRecord, solve);
  const uint32_t mix = record + offsetof(DeltaRecord, mix);
  const uint32_t scales = record + offsetof(DeltaRecord, k_decay);
  constexpr uint32_t kScales = kDeltaChunk * sizeof(float);
  float decay;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(decay) : "r"(scales + 3 * kScales));

  float products[64];
  MultiplyKeys<kKeyDim>(s, stage, products);
  uint32_t r[4][4];
  SubtractKnown(products, values, scales, r);
  // In the same registers: D takes P's place, O begins as Z.
  auto& d = reinterpret_cast<float(&)[32]>(products[0]);
  auto& o = reinterpret_cast<float(&)[32]>(products[32]);
  MultiplyBegin();
  MultiplyTile(d, r, solve, false);
  MultiplyEnd();
  ScaleColumns(o, scales + kScales);
#pragma unroll
  for (float& x : s) x *= decay;
  MultiplyWait<0>();

  uint32_t a[4][4];
#pragma unroll
  for (int k = 0; k < 4; ++k) PackOperand(&d[8 * k], a[k]);
  MultiplyBegin();
  MultiplyTile(o, a, mix, true);
  MultiplyEnd();
  ScaleColumns(d, scales + 2 * kScales);
#pragma unroll
  for (int k = 0; k < 4; ++k) PackOperand(&d[8 * k], r[k]);
  MultiplyBegin();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    Multiply<MatrixOrder::kByColumns>(s, r[k], MatrixByColumns(stage + k * 2048, kKeyTileBytes),
                                      true);
  }
  MultiplyEnd();
  MultiplyWait<1>();
  StoreOutput(o, values, group, chunk, out, out_stride);
  MultiplyWait<0>();
}

// Rows beyond a short chunk are another sequence's: clears those of the stage, by all warpgroups.
template <int kKeyDim, int kGroups>
__device__ void ClearBeyond(uint32_t stage, int num_rows) {
  constexpr int kTiles = kKeyDim / 32 + kGroups;
  for (int i = 0; i < kTiles; ++i) {
    ClearTileRows(stage + i * kValueTileBytes, num_rows, threadIdx.x, kGroups * kWarpgroupSize);
  }
  FenceAsyncProxy();
  NamedBarrier(1 + kGroups, kGroups * kWarpgroupSize);
}

template <int kKeyDim, int kGroups, typename State>
__device__ void PassChunks(const DeltaParams& p, const DeltaSequence& sequence,
                           const DeltaHead<BF16>& head, int slot, int value_col, int group,
                           uint32_t stages, PassBarriers& barriers) {
  using Stage = PassStage<kKeyDim, kGroups>;
  const int col = value_col + group * 64;  // of the head
  State* state = head.template state<State>(slot) + col;
  PassState<kKeyDim> s;
  // By an addition, so that the sums are floats from the start: the compiler would keep a bf16's
  // bits as an integer, copy that back and forth, and wait for every product (its note C7514).
  ForState<kKeyDim>(s, state, p.value_dim, [](float& x, const State* at) {
    x = sizeof(State) == sizeof(float) ? AsFloat(*at) : __fadd_rn(AsFloat(*at), 0.0f);
  });
  for (int i = 0; i < sequence.num_chunks(); ++i) {
    const DeltaChunk chunk = sequence.chunk(i);
    const int stage_index = i % kPassStages;
    const uint32_t stage = stages + stage_index * Stage::kBytes;
    barriers.full[stage_index].Wait(i / kPassStages % 2);
    if (chunk.num_rows < kDeltaChunk) ClearBeyond<kKeyDim, kGroups>(stage, chunk.num_rows);
    PassChunk<kKeyDim, kGroups>(s, stage, group, chunk, head.out(0) + col, p.out_stride);
    FenceAsyncProxy();  // o was written where the next v comes
    barriers.empty[stage_index].Arrive();
  }
  ForState<kKeyDim>(s, state, p.value_dim,
                    [](const float& x, State* at) { *at = FromFloat<State>(x); });
}

// Threads of a block: the warpgroups, and the copying warp. Two warpgroups need more than their
// share of the registers: a whole warpgroup copies then and hands over most of its.
template <int kGroups>
inline constexpr int kPassThreads = kGroups == 1 ? 160 : (kGroups + 1) * kWarpgroupSize;

template <int kKeyDim, int kGroups, typename State>
__global__ void __launch_bounds__(kPassThreads<kGroups>, 1)
    DeltaPassKernel(const __grid_constant__ DeltaParams p, const __grid_constant__ DeltaMaps maps,
                    const DeltaRecord* records) {
  extern __shared__ std::byte dynamic[];
  __shared__ PassBarriers barriers;
  const DeltaSequence sequence(p, blockIdx.z);
  if (sequence.num_chunks() == 0) return;
  const DeltaHead<BF16> head(p, blockIdx.y);
  const int value_col = blockIdx.x * kGroups * 64;
  const uint32_t stages = (SharedAddress(dynamic) + 1023) / 1024 * 1024;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kPassStages; ++i) {
      barriers.full[i].Init(1);
      barriers.empty[i].Init(kGroups * kWarpgroupSize);
    }
    FenceBarrierInit();
  }
  __syncthreads();
  // Of the warp, so that the compiler knows that warps do not divide at branches on it.
  const int group = __shfl_sync(kFullWarp, threadIdx.x / kWarpgroupSize, 0);
  if (group >= kGroups) {
    if constexpr (kGroups > 1) asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == kGroups * kWarpgroupSize) {
      const DeltaRecord* first =
          records + int64_t{sequence.first_record()} * p.value_heads + head.head;
      CopyChunks<kKeyDim, kGroups>(maps, sequence, head.key_head,
                                   head.head * p.value_dim + value_col, first, p.value_heads,
                                   stages, barriers);
    }
  } else {
    if constexpr (kGroups > 1) asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    PassChunks<kKeyDim, kGroups, State>(p, sequence, head, p.slots[blockIdx.z], value_col, group,
                                        stages, barriers);
  }
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_PASS_CUH_
