#include <cstdint>

#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/gated_delta_entries.cuh"
#include "kernels/cuda/gated_delta_params.h"
#include "kernels/cuda/gated_delta_ring.cuh"
#include "kernels/cuda/pages.cuh"

namespace winnow::cuda {
namespace {

// Columns of a block: rows of S are read by 256 bytes.
constexpr int kCols = 64;
// Slots are counted by one block's threads.
constexpr int kCountThreads = 256;

DeltaRingParams MakeRingParams(const DeltaRing& ring) {
  return {.values = ring.values.base,
          .decays = ring.decays.base,
          .keys = ring.keys.base,
          .counts = ring.counts,
          .length = static_cast<int32_t>(ring.length)};
}

enum class RingStep { kToken, kFold };

template <typename IO, int kKeyDim>
cudaError_t Launch(RingStep step, const DeltaParams& p, const DeltaRingParams& ring,
                   cudaStream_t stream) {
  constexpr int kThreads = kKeyDim;
  constexpr int kMinBlocks = 768 / kThreads;  // per multiprocessor, by shared memory
  using Tile = DeltaTile<float, kKeyDim, kCols, kThreads>;
  const auto kernel = step == RingStep::kToken ? DeltaRingKernel<IO, Tile, kMinBlocks>
                                               : DeltaFoldKernel<IO, Tile, kMinBlocks>;
  constexpr int kBytes = sizeof(DeltaRingShared<Tile>);
  cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (error != cudaSuccess) return error;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  const dim3 grid((p.value_dim + kCols - 1) / kCols, p.value_heads, p.num_sequences);
  kernel<<<grid, kThreads, kBytes, stream>>>(p, ring);
  return cudaGetLastError();
}

template <typename IO>
cudaError_t LaunchForKeyDim(RingStep step, const DeltaParams& p, const DeltaRingParams& ring,
                            cudaStream_t stream) {
  switch (p.key_dim) {
    case 64:
      return Launch<IO, 64>(step, p, ring, stream);
    case 128:
      return Launch<IO, 128>(step, p, ring, stream);
    case 192:
      return Launch<IO, 192>(step, p, ring, stream);
    case 256:
      return Launch<IO, 256>(step, p, ring, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LaunchStep(RingStep step, const GatedDeltaArgs& args, DeltaRows rows,
                       cudaStream_t stream) {
  if (!CanLaunchGatedDeltaRing(args)) return cudaErrorInvalidValue;
  if (args.batch.num_sequences == 0) return cudaSuccess;
  const DeltaParams params = MakeDeltaParams(args, rows);
  const DeltaRingParams ring = MakeRingParams(*args.ring);
  return args.q.dtype == DType::kF32 ? LaunchForKeyDim<float>(step, params, ring, stream)
                                     : LaunchForKeyDim<BF16>(step, params, ring, stream);
}

__global__ void AdvanceKernel(const int32_t* row_offsets, const int32_t* slots, int num_sequences,
                              int32_t length, SlotField count) {
  const int i = blockIdx.x * kCountThreads + threadIdx.x;
  if (i >= num_sequences || slots[i] == 0) return;
  const int num_rows = row_offsets[i + 1] - row_offsets[i];
  if (num_rows == 0) return;
  int32_t* n = FieldAt<int32_t>(count, slots[i]);
  *n = num_rows == 1 && *n + 1 < length ? *n + 1 : 0;
}

}  // namespace

bool TakesDeltaRing(int64_t key_dim, int64_t value_dim) {
  return key_dim % 64 == 0 && key_dim <= 256 && value_dim % 4 == 0;
}

bool CanLaunchGatedDeltaRing(const GatedDeltaArgs& args) {
  if (!IsValidDelta(args) || !HasAlignedRows(args) || args.state_dtype != DType::kF32) return false;
  if (!args.ring.has_value() || args.ring->length < 1 || args.ring->length > kMaxDeltaRing) {
    return false;
  }
  for (const SlotField& field : {args.ring->values, args.ring->decays, args.ring->keys}) {
    if (reinterpret_cast<uintptr_t>(field.base) % 16 != 0) return false;
    if (field.slot_stride_bytes != args.state.slot_stride_bytes) return false;
  }
  return TakesDeltaRing(args.k.dim(2), args.v.dim(2));
}

cudaError_t LaunchGatedDeltaRing(const GatedDeltaArgs& args, cudaStream_t stream) {
  return LaunchStep(RingStep::kToken, args, {.most = 1}, stream);
}

cudaError_t LaunchGatedDeltaFold(const GatedDeltaArgs& args, DeltaRows rows, cudaStream_t stream) {
  return LaunchStep(RingStep::kFold, args, rows, stream);
}

cudaError_t LaunchAdvanceRing(const AdvanceRingArgs& args, cudaStream_t stream) {
  const int num_sequences = static_cast<int>(args.batch.num_sequences);
  if (num_sequences == 0) return cudaSuccess;
  const int blocks = (num_sequences + kCountThreads - 1) / kCountThreads;
  AdvanceKernel<<<blocks, kCountThreads, 0, stream>>>(
      args.batch.row_offsets, args.batch.slots, num_sequences, static_cast<int32_t>(args.length),
      args.count);
  return cudaGetLastError();
}

}  // namespace winnow::cuda
