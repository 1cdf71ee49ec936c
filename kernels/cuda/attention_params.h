// What both forms of the attention kernels are given: AttentionArgs with plain members.
#ifndef WINNOW_KERNELS_CUDA_ATTENTION_PARAMS_H_
#define WINNOW_KERNELS_CUDA_ATTENTION_PARAMS_H_

#include <cstdint>

#include "kernels/ops/attention.h"

namespace winnow::cuda {

struct AttentionParams {
  RaggedBatch batch;
  LayerPages pages;
  const void* q;
  const void* k;
  const void* v;
  void* out;
  int64_t q_stride, k_stride, v_stride, out_stride;  // elements from row to row
  int64_t span;
  bool has_plan;
  KeptPlan plan;
  int64_t buffer_size;
  int32_t group;  // query heads of a kv head
  float scale;    // D^-1/2 log2(e): of scores as powers of 2
};

// Whether types and shapes fit each other and the kernels.
bool CanLaunchAttention(const AttentionArgs& args);

// Whether heads begin at multiples of 16 bytes everywhere and are whole multiples of 8 elements.
bool HasAttentionVectors(const AttentionArgs& args);

AttentionParams AttentionParamsOf(const AttentionArgs& args);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ATTENTION_PARAMS_H_
