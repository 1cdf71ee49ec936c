#include <cstdint>

#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/gated_delta_params.h"
#include "kernels/cuda/gated_delta_recurrent.cuh"
#include "kernels/cuda/launch.h"

namespace winnow::cuda {
namespace {

template <typename IO, typename State, int kKeyDim, int kCols, int kThreads>
cudaError_t Launch(const DeltaParams& p, cudaStream_t stream) {
  using Tile = DeltaTile<State, kKeyDim, kCols, kThreads>;
  constexpr int kMinBlocks = 512 / kThreads;  // per multiprocessor, by registers
  const dim3 grid((p.value_dim + kCols - 1) / kCols, p.value_heads, p.num_sequences);
  return LaunchEarly(DeltaRecurrentKernel<IO, Tile, State, kMinBlocks>, grid, kThreads, 0, stream,
                     p);
}

// Rows of S are read by 256 bytes: measured on one H200 at batch 256, pieces of 128 bytes are
// slower by 8%, of 64 bytes by 33%. With few heads to compute, the number of blocks counts for
// more.
constexpr int kWideBytes = 256;
constexpr int kNarrowBytes = 64;
constexpr int64_t kFewWideBlocks = 66;

// Tiles with 16 rows of S per thread, as far as Dk allows. Both widths give the same bits.
template <typename IO, typename State, int kKeyDim>
cudaError_t LaunchWidth(const DeltaParams& p, cudaStream_t stream) {
  constexpr int kWide = kWideBytes / static_cast<int>(sizeof(State));
  constexpr int kNarrow = kNarrowBytes / static_cast<int>(sizeof(State));
  constexpr int kWideThreads = kKeyDim < 32 ? 32 : kKeyDim;
  const int64_t heads = int64_t{p.num_sequences} * p.value_heads;
  if constexpr (kKeyDim % 128 == 0) {
    if (heads * (p.value_dim / kWide) <= kFewWideBlocks) {
      return Launch<IO, State, kKeyDim, kNarrow, kWideThreads / 4>(p, stream);
    }
  }
  return Launch<IO, State, kKeyDim, kWide, kWideThreads>(p, stream);
}

template <typename IO, typename State>
cudaError_t LaunchForKeyDim(const DeltaParams& p, cudaStream_t stream) {
  switch (p.key_dim) {
    case 16:
      return LaunchWidth<IO, State, 16>(p, stream);
    case 32:
      return LaunchWidth<IO, State, 32>(p, stream);
    case 64:
      return LaunchWidth<IO, State, 64>(p, stream);
    case 128:
      return LaunchWidth<IO, State, 128>(p, stream);
    case 192:
      return LaunchWidth<IO, State, 192>(p, stream);
    case 256:
      return LaunchWidth<IO, State, 256>(p, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

template <typename IO>
cudaError_t LaunchForState(const DeltaParams& p, DType state_dtype, cudaStream_t stream) {
  return state_dtype == DType::kF32 ? LaunchForKeyDim<IO, float>(p, stream)
                                    : LaunchForKeyDim<IO, BF16>(p, stream);
}

// Whether the rows of S and of one head's v divide into 16-byte accesses.
bool HasFastTile(const GatedDeltaArgs& args) {
  const int64_t lanes = 16 / DTypeBytes(args.state_dtype);
  const int64_t key_dim = args.k.dim(2);
  return HasAlignedRows(args) && args.v.dim(2) % lanes == 0 &&
         (key_dim == 16 || key_dim == 32 || (key_dim <= 256 && key_dim % 64 == 0));
}

}  // namespace

cudaError_t LaunchGatedDeltaRecurrent(const GatedDeltaArgs& args, DeltaRows rows,
                                      cudaStream_t stream) {
  if (!IsValidDelta(args)) return cudaErrorInvalidValue;
  if (args.batch.num_sequences == 0 || args.batch.num_tokens == 0) return cudaSuccess;
  const DeltaParams params = MakeDeltaParams(args, rows);
  if (!HasFastTile(args)) {
    return LaunchGatedDeltaGeneral(params, args.q.dtype, args.state_dtype, stream);
  }
  return args.q.dtype == DType::kF32 ? LaunchForState<float>(params, args.state_dtype, stream)
                                     : LaunchForState<BF16>(params, args.state_dtype, stream);
}

}  // namespace winnow::cuda
