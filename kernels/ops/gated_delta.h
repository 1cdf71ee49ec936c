// The recurrent half of a Gated DeltaNet layer (arXiv 2412.06464): short convolution and gated
// delta rule, with S in every step's memory or behind a ring of the last inputs.
#ifndef WINNOW_KERNELS_OPS_GATED_DELTA_H_
#define WINNOW_KERNELS_OPS_GATED_DELTA_H_

#include <cstdint>
#include <optional>
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

// The last inputs of the sequences, not yet in S: so S need be written once in `length` tokens
// only. For every head, entry j holds k, the corrected value d = beta (v - S^T k) and the log decay
// g of one token; with S0 the S in the slot and n entries
//   S = e^{g_0 + .. + g_(n-1)} S0 + sum_j e^{g_(j+1) + .. + g_(n-1)} k_j d_j^T
// All layers' rings of a slot are equally long: n is counted once for each slot, read before a
// step's first layer (GatherCounts) and moved on after its last (AdvanceRing).
struct DeltaRing {
  int64_t length = 0;               // 1 .. kMaxDeltaRing
  const int32_t* counts = nullptr;  // [B] n of the batch's sequences, 0 <= n < length
  SlotField values;                 // d [Hv, length, Dv] float32
  SlotField decays;                 // g [Hv, length] float32
  SlotField keys;                   // k [Hk, length, Dk] of k's type, before normalisation
};

inline constexpr int64_t kMaxDeltaRing = 32;

// Gated delta rule. Per value head h, with key head h / (Hv / Hk), q and k normalised over Dk
// (x / sqrt(sum x^2 + 1e-6)), q also scaled by Dk^-1/2:
//   g = -exp(A_log[h]) * softplus(a + dt_bias[h]);  beta = beta_scale * sigmoid(b)
//   S <- exp(g) S;  S <- S + k (beta (v - S^T k))^T;  o = S^T q
// Prompts run in the chunked WY form (chunks of at most 64 rows that begin at multiples of the
// chunk size, a power of two, of the absolute position or where the step's rows begin), single
// tokens in the recurrent form; the choice depends on the sequence's own number of rows and the
// head's size only. Bytes at least: S read and written once per sequence and step; q, k, v, o once.
//
// With a ring: sequences with one row leave S as it is,
//   d_t = beta_t (v_t - e^{G_t} S0^T k_t - sum_j e^{G_t - G_j} (k_j . k_t) d_j)
//   o_t = e^{G_t} S0^T q_t + sum_j e^{G_t - G_j} (k_j . q_t) d_j + (k_t . q_t) d_t
// and become entry n, or with n = length - 1 are folded into S with all entries. Those with several
// rows have their entries folded into S first. Bytes of a single token: S read, written once in
// `length` tokens, n entries read, one written.
struct GatedDeltaArgs {
  RaggedBatch batch;
  TensorView q;                     // [T, Hk, Dk], before normalisation
  TensorView k;                     // [T, Hk, Dk], before normalisation
  TensorView v;                     // [T, Hv, Dv]
  TensorView a;                     // [T, Hv]
  TensorView b;                     // [T, Hv]
  const float* a_log = nullptr;     // [Hv]
  const float* dt_bias = nullptr;   // [Hv]
  float beta_scale = 1;             // 2 allows negative eigenvalues
  SlotField state;                  // S [Hv, Dk, Dv]
  DType state_dtype = DType::kF32;  // S between steps; sums are float32
  std::optional<DeltaRing> ring = std::nullopt;
  TensorView out;  // [T, Hv, Dv]
};

// Moves the counts of the batch's slots on, after a step's last layer: n + 1, or 0 where that is
// `length`, for a sequence with one row; 0 for one with several, whose entries were folded. Slot 0
// stays at 0.
struct AdvanceRingArgs {
  RaggedBatch batch;
  int64_t length = 0;
  SlotField count;  // one int32
};

// How a layer's state is kept, for backends to say whether they can.
struct DeltaStateFormat {
  DType dtype = DType::kF32;
  int64_t ring_length = 0;  // 0: no ring
  int64_t key_dim = 0;
  int64_t value_dim = 0;
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_GATED_DELTA_H_
