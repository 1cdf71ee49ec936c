#include "kernels/cuda/gated_delta_params.h"

#include <algorithm>

namespace winnow::cuda {
namespace {

constexpr int64_t kAlignment = 16;

bool IsAligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % kAlignment == 0;
}

}  // namespace

bool IsValidDelta(const GatedDeltaArgs& args) {
  const DType dtype = args.q.dtype, gate_dtype = args.a.dtype;
  if (args.state_dtype != DType::kF32 && args.state_dtype != DType::kBF16) return false;
  if (dtype != DType::kF32 && dtype != DType::kBF16) return false;
  if (gate_dtype != dtype && gate_dtype != DType::kF32) return false;
  for (const TensorView* x : {&args.q, &args.k, &args.v, &args.out}) {
    if (x->dtype != dtype || x->dim(0) != args.batch.num_tokens) return false;
  }
  for (const TensorView* x : {&args.a, &args.b}) {
    if (x->dtype != gate_dtype || x->dim(0) != args.batch.num_tokens) return false;
  }
  if (args.q.rank != 3 || args.k.rank != 3 || args.v.rank != 3 || args.out.rank != 3) return false;
  const int64_t key_heads = args.k.dim(1), value_heads = args.v.dim(1);
  if (key_heads < 1 || value_heads % key_heads != 0) return false;
  if (args.q.dim(1) != key_heads || args.q.dim(2) != args.k.dim(2)) return false;
  if (args.out.dim(1) != value_heads || args.out.dim(2) != args.v.dim(2)) return false;
  return args.a.dim(1) == value_heads && args.b.dim(1) == value_heads;
}

bool HasAlignedRows(const TensorView& x) {
  return IsAligned(x.raw) && x.row_stride * DTypeBytes(x.dtype) % kAlignment == 0;
}

bool HasAlignedRows(const GatedDeltaArgs& args) {
  return HasAlignedRows(args.q) && HasAlignedRows(args.k) && HasAlignedRows(args.v) &&
         HasAlignedRows(args.out) && IsAligned(args.state.base) &&
         args.state.slot_stride_bytes % kAlignment == 0;
}

DeltaParams MakeDeltaParams(const GatedDeltaArgs& args, DeltaRows rows) {
  return {.q = args.q.raw,
          .k = args.k.raw,
          .v = args.v.raw,
          .a = args.a.raw,
          .b = args.b.raw,
          .out = args.out.raw,
          .q_stride = args.q.row_stride,
          .k_stride = args.k.row_stride,
          .v_stride = args.v.row_stride,
          .a_stride = args.a.row_stride,
          .b_stride = args.b.row_stride,
          .out_stride = args.out.row_stride,
          .has_f32_gates = args.a.dtype == DType::kF32,
          .a_log = args.a_log,
          .dt_bias = args.dt_bias,
          .beta_scale = args.beta_scale,
          .state = args.state.base,
          .slot_stride_bytes = args.state.slot_stride_bytes,
          .row_offsets = args.batch.row_offsets,
          .slots = args.batch.slots,
          .positions = args.batch.positions,
          .num_sequences = static_cast<int32_t>(args.batch.num_sequences),
          .key_heads = static_cast<int32_t>(args.k.dim(1)),
          .value_heads = static_cast<int32_t>(args.v.dim(1)),
          .key_dim = static_cast<int32_t>(args.k.dim(2)),
          .value_dim = static_cast<int32_t>(args.v.dim(2)),
          .heads_per_key = static_cast<int32_t>(args.v.dim(1) / args.k.dim(1)),
          .least_rows = std::max(rows.least, int32_t{1}),
          .most_rows = rows.most};
}

}  // namespace winnow::cuda
