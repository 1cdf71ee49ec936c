// The recurrent half of a Gated DeltaNet layer (arXiv 2412.06464): short convolution and gated
// delta rule.
#ifndef WINNOW_KERNELS_OPS_GATED_DELTA_H_
#define WINNOW_KERNELS_OPS_GATED_DELTA_H_

#include <cstdint>
#include <vector>

#include "kernels/batch.h"
#include "kernels/tensor.h"

namespace winnow {

// Causal depthwise convolution over the last `width` inputs of a sequence, then SiLU:
//   out[t, c] = silu(sum_i weight[c, i] * x[t - (width - 1) + i, c])
// Inputs before the step come from `history`, which afterwards holds the last width - 1 inputs
// (oldest first). A zeroed history is the start of a sequence. width >= 1.
struct ShortConvArgs {
  RaggedBatch batch;
  TensorView x;                   // [T, C]
  const float* weight = nullptr;  // [C, width]
  int64_t width = 0;
  SlotField history;  // [width - 1, C] float32
  TensorView out;     // [T, C], not x
};

// Convolutions of one step that do not depend on each other.
struct ShortConvGroupArgs {
  std::vector<ShortConvArgs> parts;  // of one batch
};

// Gated delta rule. Per value head h, with key head h / (Hv / Hk), q and k normalised over Dk
// (x / sqrt(sum x^2 + 1e-6)), q also scaled by Dk^-1/2:
//   g = -exp(A_log[h]) * softplus(a + dt_bias[h]);  beta = beta_scale * sigmoid(b)
//   S <- exp(g) S;  S <- S + k (beta (v - S^T k))^T;  o = S^T q
// Prompts run in the chunked WY form (chunks of at most 64 rows that begin at multiples of the
// chunk size, a power of two, of the absolute position or where the step's rows begin), single
// tokens in the recurrent form; the choice depends on the sequence's own number of rows and the
// head's size only. Bytes at least: S read and written once per sequence and step; q, k, v, o once.
struct GatedDeltaArgs {
  RaggedBatch batch;
  TensorView q;                    // [T, Hk, Dk], before normalisation
  TensorView k;                    // [T, Hk, Dk], before normalisation
  TensorView v;                    // [T, Hv, Dv]
  TensorView a;                    // [T, Hv]
  TensorView b;                    // [T, Hv]
  const float* a_log = nullptr;    // [Hv]
  const float* dt_bias = nullptr;  // [Hv]
  float beta_scale = 1;            // 2 allows negative eigenvalues
  SlotField state;                 // S [Hv, Dk, Dv] float32
  TensorView out;                  // [T, Hv, Dv]
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_GATED_DELTA_H_
