// CUDA kernels of AttentionArgs (kernels/ops/attention.h has the mathematics). Two forms:
//
//   rows   one query at a time with all query heads of its kv head: single tokens. The keys that it
//          may see are cut into units by their number, which warps of one block or of several, as
//          the step fills the device, compute each by itself and add up in order.
//   tiles  prompt pieces in bf16 on the tensor cores: tiles of queries, which pick the keys that
//          any of them sees, wherever they are.
//
// A sequence of one row goes to `rows`, a longer one to `tiles`, so that its result is the same bit
// for bit whatever its neighbours in the step; what `tiles` does not take (float32, heads that are
// no multiple of 8, rows that do not begin at multiples of 16 bytes) goes to `rows` too.
//
// q, k, v, out and the pages have one type, float32 or bf16. Sums and softmax are float32; a
// softmax weight is a sum of two bf16 (2^-17), so that keys and values are all that is rounded.
// Errors: cudaErrorInvalidValue for shapes and types that do not fit. Nothing allocates and nothing
// synchronises; geometry depends on shapes and limits only, so that a graph replays with any
// contents. Reference: kernels/cpu/attention.h; the test has one in float64.
#ifndef WINNOW_KERNELS_CUDA_ATTENTION_H_
#define WINNOW_KERNELS_CUDA_ATTENTION_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

// Largest head_dim.
inline constexpr int64_t kMaxAttentionHeadDim = 256;

// Memory of the `rows` form, for one launch after the other, whatever their shapes.
struct AttentionScratch {
  std::byte* memory = nullptr;  // aligned to 16 bytes; zero before the first launch
  int64_t size_bytes = 0;
};

// Bytes of a scratch for steps of so many sequences, of any number of rows.
int64_t AttentionScratchBytes(int64_t max_sequences, int64_t num_query_heads, int64_t num_kv_heads,
                              int64_t head_dim);

// A whole step. Bytes: the keys and values that a single token sees are read once per 8 query heads
// of a kv head, and 8 bytes of expiry each; a tile reads them once per 128 (D <= 64) or 64 rows.
cudaError_t LaunchAttention(const AttentionArgs& args, const AttentionScratch& scratch,
                            cudaStream_t stream);

// The two forms alone. A launch takes the sequences that have between least_rows and most_rows rows
// and leaves the others alone. `blocks`: of threads that share a list of keys; AttentionRowsBlocks
// is what fills the device. The result does not depend on it.
int32_t AttentionRowsBlocks(const AttentionArgs& args, int32_t most_rows);
cudaError_t LaunchAttentionRows(const AttentionArgs& args, const AttentionScratch& scratch,
                                int32_t most_rows, int32_t blocks, cudaStream_t stream);
bool CanLaunchAttentionTiles(const AttentionArgs& args);
cudaError_t LaunchAttentionTiles(const AttentionArgs& args, int32_t least_rows,
                                 cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ATTENTION_H_
