// Host side of the chunked gated delta rule (gated_delta_prepare.cuh, gated_delta_pass.cuh), for
// sm_90a.
#include <cuda.h>

#include <cstdint>

#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/gated_delta_chunk.cuh"
#include "kernels/cuda/gated_delta_params.h"
#include "kernels/cuda/gated_delta_pass.cuh"
#include "kernels/cuda/gated_delta_prepare.cuh"
#include "kernels/cuda/tensor_map.h"

namespace winnow::cuda {
namespace {

// x [T, H, D] as a matrix [T, H D].
cudaError_t MapRows(const TensorView& x, CUtensorMap* map) {
  const BoxedMatrix rows = {
      .data = x.raw, .rows = x.dim(0), .cols = x.RowSize(), .row_stride = x.row_stride};
  return MapMatrix(rows, kDeltaChunk, map);
}

cudaError_t MakeMaps(const GatedDeltaArgs& args, DeltaMaps* maps) {
  cudaError_t error = MapRows(args.q, &maps->q);
  if (error == cudaSuccess) error = MapRows(args.k, &maps->k);
  if (error == cudaSuccess) error = MapRows(args.v, &maps->v);
  return error;
}

template <typename Kernel>
cudaError_t AllowShared(Kernel kernel, uint32_t bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

template <int kKeyDim>
cudaError_t Prepare(const DeltaParams& p, const DeltaMaps& maps, int64_t num_records,
                    DeltaRecord* records, cudaStream_t stream) {
  const auto kernel = DeltaPrepareKernel<kKeyDim>;
  constexpr uint32_t kBytes = PrepareSharedBytes<kKeyDim>();
  const cudaError_t error = AllowShared(kernel, kBytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>(num_records), p.value_heads);
  kernel<<<grid, kWarpgroupSize, kBytes, stream>>>(p, maps, records);
  return cudaGetLastError();
}

template <int kKeyDim, int kGroups, typename State>
cudaError_t Pass(const DeltaParams& p, const DeltaMaps& maps, const DeltaRecord* records,
                 cudaStream_t stream) {
  const auto kernel = DeltaPassKernel<kKeyDim, kGroups, State>;
  constexpr uint32_t kBytes = PassSharedBytes<kKeyDim, kGroups>();
  const cudaError_t error = AllowShared(kernel, kBytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(p.value_dim / (kGroups * 64), p.value_heads, p.num_sequences);
  kernel<<<grid, kPassThreads<kGroups>, kBytes, stream>>>(p, maps, records);
  return cudaGetLastError();
}

// Two warpgroups share a block's k and q where blocks of one would not all find a multiprocessor.
// Which of the two it is changes no bit.
constexpr int64_t kMaxSingleBlocks = 132;

template <int kKeyDim, typename State>
cudaError_t LaunchForKeyDim(const DeltaParams& p, const DeltaMaps& maps, int64_t num_records,
                            DeltaRecord* records, cudaStream_t stream) {
  const cudaError_t error = Prepare<kKeyDim>(p, maps, num_records, records, stream);
  if (error != cudaSuccess) return error;
  const int64_t single_blocks = int64_t{p.num_sequences} * p.value_heads * (p.value_dim / 64);
  if (p.value_dim % 128 != 0 || single_blocks <= kMaxSingleBlocks) {
    return Pass<kKeyDim, 1, State>(p, maps, records, stream);
  }
  return Pass<kKeyDim, 2, State>(p, maps, records, stream);
}

template <typename State>
cudaError_t LaunchForState(const DeltaParams& p, const DeltaMaps& maps, int64_t num_records,
                           DeltaRecord* records, cudaStream_t stream) {
  switch (p.key_dim) {
    case 64:
      return LaunchForKeyDim<64, State>(p, maps, num_records, records, stream);
    case 128:
      return LaunchForKeyDim<128, State>(p, maps, num_records, records, stream);
    case 256:
      return LaunchForKeyDim<256, State>(p, maps, num_records, records, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

bool CanLaunchGatedDeltaChunked(const GatedDeltaArgs& args) {
  if (!IsValidDelta(args) || args.q.dtype != DType::kBF16 || !HasAlignedRows(args)) return false;
  const int64_t key_dim = args.k.dim(2);
  return (key_dim == 64 || key_dim == 128 || key_dim == 256) && args.v.dim(2) % 64 == 0;
}

size_t GatedDeltaChunkedScratchBytes(int64_t num_tokens, int64_t num_sequences,
                                     int64_t num_value_heads) {
  return sizeof(DeltaRecord) * NumDeltaRecords(num_tokens, num_sequences) * num_value_heads;
}

cudaError_t LaunchGatedDeltaChunked(const GatedDeltaArgs& args, std::byte* scratch, DeltaRows rows,
                                    cudaStream_t stream) {
  if (!CanLaunchGatedDeltaChunked(args)) return cudaErrorInvalidValue;
  if (args.batch.num_sequences == 0 || args.batch.num_tokens == 0) return cudaSuccess;
  DeltaMaps maps;
  const cudaError_t error = MakeMaps(args, &maps);
  if (error != cudaSuccess) return error;
  const DeltaParams params = MakeDeltaParams(args, rows);
  const int64_t num_records = NumDeltaRecords(args.batch.num_tokens, args.batch.num_sequences);
  auto* records = reinterpret_cast<DeltaRecord*>(scratch);
  return args.state_dtype == DType::kF32
             ? LaunchForState<float>(params, maps, num_records, records, stream)
             : LaunchForState<BF16>(params, maps, num_records, records, stream);
}

cudaError_t LaunchGatedDelta(const GatedDeltaArgs& args, std::byte* scratch, cudaStream_t stream) {
  DeltaRows rows;
  if (args.ring.has_value()) {
    rows.least = 2;
    cudaError_t error = LaunchGatedDeltaRing(args, stream);
    if (error != cudaSuccess || args.batch.max_tokens_per_sequence < rows.least) return error;
    error = LaunchGatedDeltaFold(args, rows, stream);
    if (error != cudaSuccess) return error;
  }
  const bool chunked = scratch != nullptr && CanLaunchGatedDeltaChunked(args) &&
                       args.batch.max_tokens_per_sequence > kMostRecurrentRows;
  if (!chunked) return LaunchGatedDeltaRecurrent(args, rows, stream);
  rows.most = kMostRecurrentRows;
  const cudaError_t error = LaunchGatedDeltaRecurrent(args, rows, stream);
  if (error != cudaSuccess) return error;
  return LaunchGatedDeltaChunked(args, scratch, {.least = kMostRecurrentRows + 1}, stream);
}

}  // namespace winnow::cuda
