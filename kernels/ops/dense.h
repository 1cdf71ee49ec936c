// Ops without sequence state: embedding, norms, matrix products, rotary embedding, gates.
//
// All: outputs do not alias inputs unless said; T may be 0; every output row depends on its own
// input row alone, bit for bit: reductions run in an order that does not depend on T (batch
// invariance).
#ifndef WINNOW_KERNELS_OPS_DENSE_H_
#define WINNOW_KERNELS_OPS_DENSE_H_

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"
#include "kernels/weight_matrix.h"

namespace winnow {

// out[t] = table[tokens[t]].  Bytes: T * M * (weight + activation).
struct EmbedArgs {
  WeightMatrix table;                // [vocab, M]
  const uint32_t* tokens = nullptr;  // [T], each < vocab or a DrawnToken (kernels/drawn_token.h)
  const uint32_t* drawn = nullptr;   // [slots], each < vocab; null: no token is a DrawnToken
  TensorView out;                    // [T, M]
};

// Fused residual + RMSNorm (arXiv 1910.07467):
//   x[t] += delta[t] (if there is a delta);  out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight
struct RmsNormArgs {
  TensorView x;      // [T, M] float32: the residual stream, updated in place when delta is given
  TensorView delta;  // [T, M], or rank 0: none
  const float* weight = nullptr;  // [M]
  float eps = 0;
  TensorView out;  // [T, M]
};

// out = x W^T + bias.  Flops: 2 T N K.  Bytes at least: W once, x and out once.
struct LinearArgs {
  TensorView x;         // [T, K], rows may be strided
  WeightMatrix weight;  // [N, K]
  TensorView out;       // [T, N], rows may be strided
};

// Several products of one x.  outs[i] = x weights[i]^T + bias. Where a backend multiplies by
// neighbouring matrices at once, it likes weights that follow each other in memory and outputs that
// are neighbouring columns of one array.
struct LinearGroupArgs {
  TensorView x;                       // [T, K]
  std::vector<WeightMatrix> weights;  // [N_i, K]
  std::vector<TensorView> outs;       // [T, N_i], rows may be strided
};

// cos and sin of position * theta^(-i / (D/2)) for i < D/2, angles in float64 (float32 products are
// off by 4e-2 rad at position 1,000,000).
struct RopeTableArgs {
  const int64_t* positions = nullptr;  // [T]
  double theta = 0;
  TensorView cos_sin;  // [T, 2, D/2] float32: cosines, then sines
};

// Rotary embedding in place, half-split (NeoX) pairing: dimension i turns with i + D/2.
struct RopeArgs {
  TensorView cos_sin;  // [T, 2, D/2]
  TensorView x;        // [T, H, D], in place
};

// out = silu(gate) * up.  out may be gate or up.
struct SwiGluArgs {
  TensorView gate;  // [T, F]
  TensorView up;    // [T, F]
  TensorView out;   // [T, F]
};

// x = silu(x), in place.
struct SiluArgs {
  TensorView x;  // [T, C]
};

// o = rms_norm(o over D) * weight * silu(gate), per token and head, in place (gate of rank 0:
// without).
struct GatedRmsNormArgs {
  TensorView o;                   // [T, H, D], in place
  const float* weight = nullptr;  // [D]
  float eps = 0;
  TensorView gate;  // [T, H, D], or rank 0
};

// out[i] = x[rows[i]].
struct GatherRowsArgs {
  TensorView x;                   // [T, M]
  const int32_t* rows = nullptr;  // [R], each < T
  TensorView out;                 // [R, M]
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_DENSE_H_
