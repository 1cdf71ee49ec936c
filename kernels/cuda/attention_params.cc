#include "kernels/cuda/attention_params.h"

#include <cmath>
#include <initializer_list>
#include <numbers>

#include "kernels/cuda/attention.h"

namespace winnow::cuda {

bool CanLaunchAttention(const AttentionArgs& args) {
  const LayerPages& pages = args.pages;
  for (const TensorView& view : {args.q, args.k, args.v, args.out}) {
    if (view.dtype != pages.dtype || view.rank != 3) return false;
    if (view.dim(0) != args.batch.num_tokens || view.dim(2) != pages.head_dim) return false;
  }
  if (pages.dtype != DType::kF32 && pages.dtype != DType::kBF16) return false;
  if (pages.num_kv_heads < 1 || args.q.dim(1) % pages.num_kv_heads != 0) return false;
  if (args.k.dim(1) != pages.num_kv_heads || args.v.dim(1) != pages.num_kv_heads) return false;
  return args.out.dim(1) == args.q.dim(1) && pages.head_dim >= 1 &&
         pages.head_dim <= kMaxAttentionHeadDim;
}

bool HasAttentionVectors(const AttentionArgs& args) {
  constexpr int64_t kBytes = 16;
  const int64_t element = DTypeBytes(args.pages.dtype);
  if (args.pages.head_dim % 8 != 0 || args.pages.page_bytes % kBytes != 0) return false;
  if (reinterpret_cast<uintptr_t>(args.pages.pool) % kBytes != 0) return false;
  for (const TensorView& view : {args.q, args.k, args.v, args.out}) {
    if (reinterpret_cast<uintptr_t>(view.raw) % kBytes != 0) return false;
    if (view.row_stride * element % kBytes != 0) return false;
  }
  return true;
}

AttentionParams AttentionParamsOf(const AttentionArgs& args) {
  return {
      .batch = args.batch,
      .pages = args.pages,
      .q = args.q.raw,
      .k = args.k.raw,
      .v = args.v.raw,
      .out = args.out.raw,
      .q_stride = args.q.row_stride,
      .k_stride = args.k.row_stride,
      .v_stride = args.v.row_stride,
      .out_stride = args.out.row_stride,
      .span = args.span,
      .has_plan = args.plan != nullptr,
      .plan = args.plan != nullptr ? *args.plan : KeptPlan(),
      .buffer_size = args.buffer_size,
      .group = static_cast<int32_t>(args.q.dim(1) / args.pages.num_kv_heads),
      .scale = std::numbers::log2e_v<float> / std::sqrt(static_cast<float>(args.pages.head_dim))};
}

}  // namespace winnow::cuda
