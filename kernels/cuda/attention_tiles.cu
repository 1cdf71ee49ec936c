#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/launch.h"

namespace winnow::cuda {
namespace {

// Query heads of a kv head that leave a tile's rows well used.
constexpr int64_t kMaxGroup = 16;

template <int kDims, int kMTiles, int kKeys>
cudaError_t LaunchTiles(const AttentionArgs& args, int32_t least_rows, cudaStream_t stream) {
  using Shape = TilesShape<kDims, kMTiles, kKeys>;
  const auto kernel = AttentionTilesKernel<kDims, kMTiles, kKeys>;
  if (const cudaError_t error = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kSharedBytes);
      error != cudaSuccess) {
    return error;
  }
  const AttentionParams p = AttentionParamsOf(args);
  const dim3 grid(
      static_cast<unsigned>(CeilDiv(args.batch.max_tokens_per_sequence, Shape::kRows / p.group)),
      static_cast<unsigned>(args.pages.num_kv_heads),
      static_cast<unsigned>(args.batch.num_sequences));
  kernel<<<grid, kTilesThreads, Shape::kSharedBytes, stream>>>(p, least_rows);
  return cudaGetLastError();
}

}  // namespace

bool CanLaunchAttentionTiles(const AttentionArgs& args) {
  return CanLaunchAttention(args) && args.pages.dtype == DType::kBF16 &&
         HasAttentionVectors(args) && args.q.dim(1) / args.pages.num_kv_heads <= kMaxGroup;
}

cudaError_t LaunchAttentionTiles(const AttentionArgs& args, int32_t least_rows,
                                 cudaStream_t stream) {
  if (!CanLaunchAttentionTiles(args)) return cudaErrorInvalidValue;
  if (args.batch.num_tokens == 0) return cudaSuccess;
  const int64_t head_dim = args.pages.head_dim;
  if (head_dim <= 64) return LaunchTiles<64, 1, 64>(args, least_rows, stream);
  if (head_dim <= 128) return LaunchTiles<128, 1, 64>(args, least_rows, stream);
  return LaunchTiles<256, 1, 32>(args, least_rows, stream);
}

cudaError_t LaunchAttention(const AttentionArgs& args, const AttentionScratch& scratch,
                            cudaStream_t stream) {
  if (!CanLaunchAttention(args)) return cudaErrorInvalidValue;
  const bool tiles = CanLaunchAttentionTiles(args);
  const int32_t most_rows = tiles ? 1 : INT32_MAX;
  const cudaError_t error =
      LaunchAttentionRows(args, scratch, most_rows, AttentionRowsBlocks(args, most_rows), stream);
  if (error != cudaSuccess || !tiles || args.batch.max_tokens_per_sequence < 2) return error;
  return LaunchAttentionTiles(args, 2, stream);
}

}  // namespace winnow::cuda
