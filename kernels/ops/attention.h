// Attention under one expiry rule: full, sliding window, and window + learned eviction.
//
// Every (token j, kv head h) has an expiry, the query position from which j is no longer visible to
// that head:
//     query t sees key j of head h  <=>  j <= t < expiry[j, h]
// With the visible span V (window_size for sliding window, window_size + 1 for learned eviction,
// unbounded for full attention): expiry = j + V, unless the token is kept when it leaves the
// window; then it has none until a token j2 displaces it: expiry = j2 + V.
//
// Order within a step of a layer (one sequence: C tokens at positions p0 .. p0 + C - 1):
//   RouterScores -> Departures -> Attention (reads the ring, the kept slots and the step's own k,
//   v)
//   -> WriteKv (survivors into kept slots, then the last tokens into the ring).
// So a prompt cut anywhere means the same as token by token.
#ifndef WINNOW_KERNELS_OPS_ATTENTION_H_
#define WINNOW_KERNELS_OPS_ATTENTION_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/batch.h"
#include "kernels/tensor.h"

namespace winnow {

// Expiry of a token that nothing has displaced yet.
inline constexpr int64_t kNeverExpires = std::numeric_limits<int64_t>::max();
// KeptPlan::source of a kept slot that this step leaves as it is.
inline constexpr int64_t kUnchanged = std::numeric_limits<int64_t>::min();

// What makes a token's score. The last two are for experiments: they look at nothing but where the
// token is (kernels/ops/position_score.h), and exist on the CPU only.
enum class RoutingMethod : uint8_t { kSigmoid, kRelu, kRecency, kRandom };

// One causal-in-effect convolution of the router: centred taps, read as a stream `right` tokens
// late.
struct RouterConv {
  const float* weight = nullptr;  // [groups, size, in, out] (repacked at load)
  const float* bias = nullptr;    // [groups, out]
  int64_t in = 0;                 // channels per head
  int64_t out = 0;
  int64_t size = 0;  // taps
  int64_t dilation = 0;
  // Look-ahead: pad - pad / 2 with pad = dilation * (size - 1).
  int64_t right() const { return dilation * (size - 1) - dilation * (size - 1) / 2; }
  // Inputs remembered between steps.
  int64_t history() const { return dilation * (size - 1); }
};

// The router of one layer: convolutions with SiLU, then a projection to one score per head.
struct RouterWeights {
  std::vector<RouterConv> convs;
  const float* proj_weight = nullptr;  // [groups, last conv's out]
  const float* proj_bias = nullptr;    // [groups]
  int64_t groups = 0;                  // Hkv: a filter bank per head; 1: shared by all heads
  RoutingMethod method = RoutingMethod::kSigmoid;
  uint64_t seed = 0;  // of kRandom
  // Tokens that must follow token j before its score is final.
  int64_t margin() const {
    int64_t sum = 0;
    for (const RouterConv& conv : convs) sum += conv.right();
    return sum;
  }
};

// Streaming router (arXiv 2510.20787, section on learnable token eviction). The input of head h at
// position p is [k, v] before RoPE; a convolution's output at position p is silu(bias + sum_i W_i^T
// x[p - left + i * dilation]), and exactly 0 where p < 0, as are the inputs there. Score:
// sigmoid(z) - 0.5, or max(z, 0), or PositionScore; histories are not touched then. scores[t] is
// the score of the token `margin` positions before row t's own, final then (0 where that is
// negative). history[i] afterwards holds conv i's last dilation * (size - 1) inputs, oldest first;
// zeroed: start of a sequence.
struct RouterScoresArgs {
  RaggedBatch batch;
  TensorView k;  // [T, Hkv, D] before RoPE
  TensorView v;  // [T, Hkv, D]
  const RouterWeights* weights = nullptr;
  std::vector<SlotField> history;  // per conv: [dilation * (size - 1), Hkv, in] float32
  TensorView scores;               // [T, Hkv] float32
};

// What Departures decided for one step of one layer: scratch in backend memory, sized for the
// largest step. B: sequences in the step, V = window_size + 1, K = buffer_size.
struct KeptPlan {
  int32_t* kept_before = nullptr;  // [B, Hkv] kept slots in use before the step
  int64_t* kept_expiry = nullptr;  // [B, Hkv, K] expiry of what those slots held before the step
  int64_t* ring_expiry = nullptr;  // [B, Hkv, V] expiry of the ring's tokens: index j % V, for p0 -
                                   // V <= j < p0, j >= 0
  int64_t* chunk_expiry = nullptr;  // [T, Hkv] expiry of the step's own tokens
  int64_t* source =
      nullptr;  // [B, Hkv, K] position of the token a kept slot holds after the step, or kUnchanged
};

// Replays the departures of the step in order, per sequence and head. When query t is computed,
// token j = t - V leaves the window (if j >= 0): it is kept if its score is > 0 (the first
// sink_size tokens: +inf) and the head has room or the score strictly beats the lowest kept one, of
// equal lowest ones the oldest (lowest position). buffer_size 0 keeps nothing. Updates the slot's
// kept set and score ring, and writes the plan. Scores: token j's is in `scores` row j + margin -
// p0 if that is
// >= 0, else in the score ring at j % V, which afterwards holds the last V final scores (index:
// position % V).
struct DeparturesArgs {
  RaggedBatch batch;
  TensorView scores;  // [T, Hkv] of RouterScores
  int64_t margin = 0;
  int64_t span = 0;  // V = window_size + 1 > margin
  int64_t buffer_size = 0;
  int64_t sink_size = 0;
  int64_t num_kv_heads = 0;
  SlotField score_ring;     // [V, Hkv] float32
  SlotField kept_count;     // [Hkv] int32
  SlotField kept_score;     // [Hkv, K] float32
  SlotField kept_position;  // [Hkv, K] int64
  KeptPlan plan;
};

// out[t, hq] = softmax(q[t, hq] K^T / sqrt(D)) V over the keys that t sees, with kv head hq / (Hq /
// Hkv). Keys before the step: ring places of positions max(0, p0 - pages.ring_tokens) .. p0 - 1,
// and (with a plan) the kept slots; the step's own keys from k, v. Every query sees at least
// itself. Softmax in float32 with the maximum subtracted. Without a plan the expiry is j + span for
// all. Keys are visited in an order that depends on the own sequence only.
struct AttentionArgs {
  RaggedBatch batch;
  TensorView q;  // [T, Hq, D] after RoPE
  TensorView k;  // [T, Hkv, D] after RoPE
  TensorView v;  // [T, Hkv, D]
  LayerPages pages;
  int64_t span = kNeverExpires;    // V
  const KeptPlan* plan = nullptr;  // with learned eviction
  int64_t buffer_size = 0;         // K of the plan
  TensorView out;                  // [T, Hq, D]
};

// Puts the step's keys and values where the next step finds them: first every kept slot with a
// source takes that token's k and v (from the ring if the token came before the step, else from the
// step's own), then the step's last min(C, ring_tokens) tokens go to their ring places.
struct WriteKvArgs {
  RaggedBatch batch;
  TensorView k;  // [T, Hkv, D] after RoPE
  TensorView v;  // [T, Hkv, D]
  LayerPages pages;
  const KeptPlan* plan = nullptr;
  int64_t buffer_size = 0;
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_ATTENTION_H_
