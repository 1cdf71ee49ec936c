#include <algorithm>
#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.h"

namespace winnow::cuda {
namespace {

constexpr int32_t kMaxParts = 16;
constexpr int64_t kNumCounters = int64_t{1} << 16;
constexpr int64_t kCounterBytes = kNumCounters * static_cast<int64_t>(sizeof(int32_t));
constexpr int64_t kMaxGridDim = 65535;

int64_t PaddedDims(int64_t head_dim) { return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : 256; }
// Heads without vectors are padded to the most.
int64_t PaddedDims(const AttentionArgs& args) {
  return HasAttentionVectors(args) ? PaddedDims(args.pages.head_dim) : kMaxAttentionHeadDim;
}

// What a part of a query's keys leaves in memory, and how many lists of keys there are.
int64_t PartialBytes(int64_t group, int64_t dims) {
  return std::min<int64_t>(group, kRowsHeads) * (dims + 2) * static_cast<int64_t>(sizeof(float));
}
int64_t NumLists(int64_t num_query_heads, int64_t num_kv_heads) {
  return num_kv_heads * CeilDiv(num_query_heads / num_kv_heads, kRowsHeads);
}
// The most keys of one query.
int64_t MaxKeys(const AttentionArgs& args) {
  const LayerPages& pages = args.pages;
  const int64_t places = pages.ring_entries_per_head * pages.page_tokens;
  const int64_t kept = args.plan != nullptr ? args.buffer_size : 0;
  return kept + std::min(pages.ring_tokens, places) + args.batch.max_tokens_per_sequence;
}

template <typename T, int kDims, bool kVectors>
cudaError_t LaunchRows(const AttentionArgs& args, const AttentionScratch& scratch, RowsWork work,
                       cudaStream_t stream) {
  const auto kernel = AttentionRowsKernel<T, kDims, kVectors>;
  constexpr int kShared = (kRowsWarps * kRowsHeads * (kDims + 2) + 4) * sizeof(float);
  if (const cudaError_t error =
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared);
      error != cudaSuccess) {
    return error;
  }
  const AttentionParams p = AttentionParamsOf(args);
  const int64_t sequences = args.batch.num_sequences;
  const int64_t lists = NumLists(args.q.dim(1), args.pages.num_kv_heads);
  const int64_t rows = std::min<int64_t>(work.most_rows, args.batch.max_tokens_per_sequence);
  work.max_parts = static_cast<int32_t>(
      std::clamp<int64_t>(CeilDiv(MaxKeys(args), work.split_keys), 1, kMaxParts));
  const int64_t partial_bytes = lists * work.max_parts * PartialBytes(p.group, kDims);
  const int64_t at_once = std::min({(scratch.size_bytes - kCounterBytes) / partial_bytes,
                                    kNumCounters / lists, kMaxGridDim}) /
                          sequences;
  if (at_once < 1) return cudaErrorInvalidValue;
  work.counters = reinterpret_cast<int32_t*>(scratch.memory);
  work.partials = reinterpret_cast<float*>(scratch.memory + kCounterBytes);
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    work.begin = static_cast<int32_t>(begin);
    work.count = static_cast<int32_t>(std::min(at_once, rows - begin));
    const dim3 grid(static_cast<unsigned>(work.max_parts), static_cast<unsigned>(lists),
                    static_cast<unsigned>(work.count * sequences));
    kernel<<<grid, kRowsThreads, kShared, stream>>>(p, work);
  }
  return cudaGetLastError();
}

template <typename T>
cudaError_t LaunchRowsOf(const AttentionArgs& args, const AttentionScratch& scratch,
                         const RowsWork& work, cudaStream_t stream) {
  if (!HasAttentionVectors(args)) {
    return LaunchRows<T, kMaxAttentionHeadDim, false>(args, scratch, work, stream);
  }
  switch (PaddedDims(args)) {
    case 64:
      return LaunchRows<T, 64, true>(args, scratch, work, stream);
    case 128:
      return LaunchRows<T, 128, true>(args, scratch, work, stream);
    default:
      return LaunchRows<T, 256, true>(args, scratch, work, stream);
  }
}

}  // namespace

int64_t AttentionScratchBytes(int64_t max_sequences, int64_t num_query_heads, int64_t num_kv_heads,
                              int64_t head_dim) {
  if (num_kv_heads == 0) return 0;
  const int64_t dims = head_dim % 8 == 0 ? PaddedDims(head_dim) : kMaxAttentionHeadDim;
  return kCounterBytes + max_sequences * NumLists(num_query_heads, num_kv_heads) * kMaxParts *
                             PartialBytes(num_query_heads / num_kv_heads, dims);
}

cudaError_t LaunchAttentionRows(const AttentionArgs& args, const AttentionScratch& scratch,
                                int32_t most_rows, int32_t split_keys, cudaStream_t stream) {
  if (!CanLaunchAttention(args) || split_keys < 1) return cudaErrorInvalidValue;
  if (args.batch.num_tokens == 0) return cudaSuccess;
  const RowsWork work = {.most_rows = most_rows, .split_keys = split_keys};
  return ForActivation(args.q.dtype, [&](auto element) {
    return LaunchRowsOf<decltype(element)>(args, scratch, work, stream);
  });
}

}  // namespace winnow::cuda
