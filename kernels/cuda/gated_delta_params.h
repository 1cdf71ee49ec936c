// What the launchers of the gated delta rule hand to their kernels.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_PARAMS_H_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_PARAMS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gated_delta.h"
#include "kernels/ops/gated_delta.h"

namespace winnow::cuda {

// GatedDeltaArgs without types. Strides are in elements.
struct DeltaParams {
  const void* q;
  const void* k;
  const void* v;
  const void* a;
  const void* b;
  void* out;
  int64_t q_stride;
  int64_t k_stride;
  int64_t v_stride;
  int64_t a_stride;
  int64_t b_stride;
  int64_t out_stride;
  bool has_f32_gates;  // a and b are float32, whatever the rest is
  const float* a_log;
  const float* dt_bias;
  float beta_scale;
  std::byte* state;
  int64_t slot_stride_bytes;
  const int32_t* row_offsets;
  const int32_t* slots;
  const int64_t* positions;
  int32_t num_sequences;
  int32_t key_heads;
  int32_t value_heads;
  int32_t key_dim;
  int32_t value_dim;
  int32_t heads_per_key;  // value heads that share a key head
  int32_t least_rows;
  int32_t most_rows;
};

// Types and shapes are what the kernels' header says.
bool IsValidDelta(const GatedDeltaArgs& args);
// Rows of x begin at multiples of 16 bytes.
bool HasAlignedRows(const TensorView& x);
// All of q, k, v and out do, and S in every slot too.
bool HasAlignedRows(const GatedDeltaArgs& args);

DeltaParams MakeDeltaParams(const GatedDeltaArgs& args, DeltaRows rows);

// The form for any shape, alignment and type, S in shared memory (gated_delta_general.cu).
cudaError_t LaunchGatedDeltaGeneral(const DeltaParams& params, DType dtype, DType state_dtype,
                                    cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_PARAMS_H_
