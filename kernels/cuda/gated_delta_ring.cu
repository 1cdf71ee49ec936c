#include <cstdint>

#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/gated_delta_entries.cuh"
#include "kernels/cuda/gated_delta_params.h"
#include "kernels/cuda/gated_delta_ring.cuh"

namespace winnow::cuda {
namespace {

// Columns of a block: rows of S are read by 256 bytes.
constexpr int kCols = 64;
// Slots are counted by one block's threads.
constexpr int kCountThreads = 256;

DeltaRingLayout LayoutOf(const GatedDeltaArgs& args, int32_t length) {
  return MakeDeltaRingLayout(args.k.dim(1), args.v.dim(1), args.k.dim(2), args.v.dim(2),
                             DTypeBytes(args.k.dtype), length);
}

DeltaRingParams MakeRingParams(const GatedDeltaArgs& args, const DeltaRing& ring) {
  return {.entries = ring.entries.base,
          .slot_stride_bytes = ring.entries.slot_stride_bytes,
          .counts = ring.counts,
          .length = ring.length,
          .layout = LayoutOf(args, ring.length)};
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

cudaError_t LaunchStep(RingStep step, const GatedDeltaArgs& args, const DeltaRing& ring,
                       cudaStream_t stream) {
  if (!CanLaunchGatedDeltaRing(args, ring)) return cudaErrorInvalidValue;
  if (args.batch.num_sequences == 0) return cudaSuccess;
  const DeltaParams params = MakeDeltaParams(args, {});
  const DeltaRingParams ring_params = MakeRingParams(args, ring);
  return args.q.dtype == DType::kF32 ? LaunchForKeyDim<float>(step, params, ring_params, stream)
                                     : LaunchForKeyDim<BF16>(step, params, ring_params, stream);
}

__global__ void ReadKernel(const int32_t* slots, int num_sequences, const int32_t* slot_counts,
                           int32_t* counts) {
  const int i = blockIdx.x * kCountThreads + threadIdx.x;
  if (i < num_sequences) counts[i] = slot_counts[slots[i]];
}

__global__ void AdvanceKernel(const int32_t* row_offsets, const int32_t* slots, int num_sequences,
                              int32_t length, int32_t* slot_counts) {
  const int i = blockIdx.x * kCountThreads + threadIdx.x;
  if (i >= num_sequences || slots[i] == 0 || row_offsets[i] == row_offsets[i + 1]) return;
  const int32_t next = slot_counts[slots[i]] + 1;
  slot_counts[slots[i]] = next < length ? next : 0;
}

__global__ void ClearKernel(const int32_t* slots, int num_sequences, int32_t* slot_counts) {
  const int i = blockIdx.x * kCountThreads + threadIdx.x;
  if (i < num_sequences) slot_counts[slots[i]] = 0;
}

int CountBlocks(const RaggedBatch& batch) {
  return static_cast<int>((batch.num_sequences + kCountThreads - 1) / kCountThreads);
}

}  // namespace

size_t DeltaRingBytes(int64_t key_heads, int64_t value_heads, int64_t key_dim, int64_t value_dim,
                      DType dtype, int32_t length) {
  return MakeDeltaRingLayout(key_heads, value_heads, key_dim, value_dim, DTypeBytes(dtype), length)
      .size;
}

bool CanLaunchGatedDeltaRing(const GatedDeltaArgs& args, const DeltaRing& ring) {
  if (!IsValidDelta(args) || !HasAlignedRows(args)) return false;
  if (ring.length < 1 || ring.length > kMaxDeltaRing) return false;
  if (reinterpret_cast<uintptr_t>(ring.entries.base) % 16 != 0) return false;
  if (ring.entries.slot_stride_bytes % 16 != 0) return false;
  const int64_t key_dim = args.k.dim(2);
  return key_dim % 64 == 0 && key_dim <= 256 && args.v.dim(2) % 4 == 0;
}

cudaError_t LaunchGatedDeltaRing(const GatedDeltaArgs& args, const DeltaRing& ring,
                                 cudaStream_t stream) {
  return LaunchStep(RingStep::kToken, args, ring, stream);
}

cudaError_t LaunchGatedDeltaFold(const GatedDeltaArgs& args, const DeltaRing& ring,
                                 cudaStream_t stream) {
  return LaunchStep(RingStep::kFold, args, ring, stream);
}

cudaError_t LaunchReadDeltaRing(const RaggedBatch& batch, const int32_t* slot_counts,
                                int32_t* counts, cudaStream_t stream) {
  if (batch.num_sequences == 0) return cudaSuccess;
  ReadKernel<<<CountBlocks(batch), kCountThreads, 0, stream>>>(
      batch.slots, static_cast<int>(batch.num_sequences), slot_counts, counts);
  return cudaGetLastError();
}

cudaError_t LaunchAdvanceDeltaRing(const RaggedBatch& batch, int32_t length, int32_t* slot_counts,
                                   cudaStream_t stream) {
  if (batch.num_sequences == 0) return cudaSuccess;
  AdvanceKernel<<<CountBlocks(batch), kCountThreads, 0, stream>>>(
      batch.row_offsets, batch.slots, static_cast<int>(batch.num_sequences), length, slot_counts);
  return cudaGetLastError();
}

cudaError_t LaunchClearDeltaRing(const RaggedBatch& batch, int32_t* slot_counts,
                                 cudaStream_t stream) {
  if (batch.num_sequences == 0) return cudaSuccess;
  ClearKernel<<<CountBlocks(batch), kCountThreads, 0, stream>>>(
      batch.slots, static_cast<int>(batch.num_sequences), slot_counts);
  return cudaGetLastError();
}

}  // namespace winnow::cuda
