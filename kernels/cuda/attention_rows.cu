#include <algorithm>
#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.h"

namespace winnow::cuda {
namespace {

constexpr int64_t kNumCounters = int64_t{1} << 16;
constexpr int64_t kCounterBytes = kNumCounters * static_cast<int64_t>(sizeof(int32_t));
// Of a lone block, so that several run at a time.
constexpr int64_t kMaxSharedBytes = int64_t{96} << 10;
constexpr int64_t kMaxGridDim = 65535;
// Blocks of a list are chosen to make so many: about what runs at a time.
constexpr int64_t kBlocksPerMultiprocessor = 4;

int64_t PaddedDims(int64_t head_dim) { return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : 256; }
// Heads without vectors are padded to the most.
int64_t PaddedDims(const AttentionArgs& args) {
  return HasAttentionVectors(args) ? PaddedDims(args.pages.head_dim) : kMaxAttentionHeadDim;
}

// What a query of one kv head leaves in memory, and of how many lists of keys there are.
int64_t UnitBytes(int64_t group, int64_t dims) {
  return std::min<int64_t>(group, kRowsHeads) * (dims + 2) * static_cast<int64_t>(sizeof(float));
}
int64_t NumLists(int64_t num_query_heads, int64_t num_kv_heads) {
  return num_kv_heads * CeilDiv(num_query_heads / num_kv_heads, kRowsHeads);
}
int64_t NumLists(const AttentionArgs& args) {
  return NumLists(args.q.dim(1), args.pages.num_kv_heads);
}

// The most keys of one query.
int64_t MaxKeys(const AttentionArgs& args) {
  const LayerPages& pages = args.pages;
  const int64_t places = pages.ring_entries_per_head * pages.page_tokens;
  const int64_t kept = args.plan != nullptr ? args.buffer_size : 0;
  return kept + std::min(pages.ring_tokens, places) + args.batch.max_tokens_per_sequence;
}

int64_t UnitsBytes(const AttentionArgs& args) {
  return RowsUnits(MaxKeys(args)) *
         UnitBytes(args.q.dim(1) / args.pages.num_kv_heads, PaddedDims(args));
}

template <typename T, int kDims, bool kVectors>
cudaError_t LaunchRows(const AttentionArgs& args, const AttentionScratch& scratch, int32_t blocks,
                       RowsWork work, cudaStream_t stream) {
  const auto kernel = AttentionRowsKernel<T, kDims, kVectors>;
  if (const cudaError_t error = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxSharedBytes);
      error != cudaSuccess) {
    return error;
  }
  const int64_t sequences = args.batch.num_sequences, lists = NumLists(args);
  const int64_t rows = std::min<int64_t>(work.most_rows, args.batch.max_tokens_per_sequence);
  const int64_t units_bytes = UnitsBytes(args);
  int64_t queries = kMaxGridDim;
  if (blocks > 1) {
    queries = std::min({queries, kNumCounters / lists,
                        (scratch.size_bytes - kCounterBytes) / (lists * units_bytes)});
  }
  const int64_t at_once = queries / sequences;
  if (at_once < 1) return cudaErrorInvalidValue;
  work.max_units = RowsUnits(MaxKeys(args));
  work.counters = reinterpret_cast<int32_t*>(scratch.memory);
  work.units = reinterpret_cast<float*>(scratch.memory + kCounterBytes);
  const AttentionParams p = AttentionParamsOf(args);
  const size_t shared = blocks == 1 ? units_bytes : sizeof(int32_t);
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    work.begin = static_cast<int32_t>(begin);
    work.count = static_cast<int32_t>(std::min(at_once, rows - begin));
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(lists),
                    static_cast<unsigned>(work.count * sequences));
    const cudaError_t error = LaunchEarly(kernel, grid, kRowsThreads, shared, stream, p, work);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <typename T>
cudaError_t LaunchRowsOf(const AttentionArgs& args, const AttentionScratch& scratch, int32_t blocks,
                         const RowsWork& work, cudaStream_t stream) {
  if (!HasAttentionVectors(args)) {
    return LaunchRows<T, kMaxAttentionHeadDim, false>(args, scratch, blocks, work, stream);
  }
  switch (PaddedDims(args)) {
    case 64:
      return LaunchRows<T, 64, true>(args, scratch, blocks, work, stream);
    case 128:
      return LaunchRows<T, 128, true>(args, scratch, blocks, work, stream);
    default:
      return LaunchRows<T, 256, true>(args, scratch, blocks, work, stream);
  }
}

}  // namespace

int64_t AttentionScratchBytes(int64_t max_sequences, int64_t num_query_heads, int64_t num_kv_heads,
                              int64_t head_dim) {
  if (num_kv_heads == 0) return 0;
  const int64_t dims = head_dim % 8 == 0 ? PaddedDims(head_dim) : kMaxAttentionHeadDim;
  return kCounterBytes + max_sequences * NumLists(num_query_heads, num_kv_heads) * kMaxUnits *
                             UnitBytes(num_query_heads / num_kv_heads, dims);
}

int32_t AttentionRowsBlocks(const AttentionArgs& args, int32_t most_rows) {
  int device = 0, multiprocessors = 1;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  const int64_t rows = std::min<int64_t>(most_rows, args.batch.max_tokens_per_sequence);
  const int64_t lists = std::max<int64_t>(1, args.batch.num_sequences * rows * NumLists(args));
  const int64_t most = RowsUnits(MaxKeys(args)) / kRowsWarps;
  const int64_t wanted = kBlocksPerMultiprocessor * multiprocessors / lists;
  const int64_t least = UnitsBytes(args) > kMaxSharedBytes ? 2 : 1;
  return static_cast<int32_t>(std::clamp(wanted, least, std::max(least, most)));
}

cudaError_t LaunchAttentionRows(const AttentionArgs& args, const AttentionScratch& scratch,
                                int32_t most_rows, int32_t blocks, cudaStream_t stream) {
  if (!CanLaunchAttention(args) || blocks < 1) return cudaErrorInvalidValue;
  if (blocks == 1 && UnitsBytes(args) > kMaxSharedBytes) return cudaErrorInvalidValue;
  if (args.batch.num_tokens == 0) return cudaSuccess;
  const RowsWork work = {.most_rows = most_rows};
  return ForActivation(args.q.dtype, [&](auto element) {
    return LaunchRowsOf<decltype(element)>(args, scratch, blocks, work, stream);
  });
}

}  // namespace winnow::cuda
