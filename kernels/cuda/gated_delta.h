// CUDA kernels of GatedDelta (kernels/ops/gated_delta.h has the mathematics). Three forms:
//
//   recurrent  a few rows per sequence, S in registers between the two uses; also prompts of any
//              length where float32 arithmetic is asked for (--compute=f32), slowly
//   chunked    prompts in bf16 on the tensor cores, chunks of 64 rows in WY form (Hopper)
//   ring       single tokens: S is read every step and written every `length`-th only
//
// A launcher takes the sequences of the batch that have between its least and most rows and leaves
// the others alone, so that one step's short and long sequences may go to two launches. All checks
// are of shapes and types on the host: cudaErrorInvalidValue if they do not fit. Nothing allocates
// and nothing synchronises; everything can be captured into a graph. Every result depends on the
// sequence's own rows, positions and state only. Rows of padding on slot 0 may share it.
//
// q, k, v and out have one type, float32 or bf16, a and b that type or float32; rows have any
// stride. Where bases and strides are multiples of 16 bytes the fast kernels run. Sums, gates and
// norms are float32 throughout. Reference: kernels/cpu/gated_delta.h; the test has one in float64.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_H_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/batch.h"
#include "kernels/dtype.h"
#include "kernels/ops/gated_delta.h"

namespace winnow::cuda {

// Which sequences a launch takes, by their rows in the step.
struct DeltaRows {
  int32_t least = 1;
  int32_t most = std::numeric_limits<int32_t>::max();
};

// A whole step in the forms that suit it: every sequence with more than kMostRecurrentRows rows in
// the chunked form where there is `scratch` and the form takes the step, all others row by row. S
// float32.
cudaError_t LaunchGatedDelta(const GatedDeltaArgs& args, std::byte* scratch, cudaStream_t stream);

// An estimate of where the forms are equally fast: a row takes 1.7 us (8 heads of 256 x 256), one
// short chunk about as long as 8 of them.
inline constexpr int32_t kMostRecurrentRows = 8;

// The recurrence row by row, S of type state_dtype (kF32 or kBF16, rounded after every row).
// Bytes: S read and written once per sequence, however many rows; q and k once per 64 columns of Dv
// (from the second time on out of the L2 cache). Any Dk up to 1536, any Dv.
cudaError_t LaunchGatedDeltaRecurrent(const GatedDeltaArgs& args, DType state_dtype, DeltaRows rows,
                                      cudaStream_t stream);

// Whether the chunked kernel takes these types, shapes and strides: bf16, Dk 64, 128 or 256, Dv a
// multiple of 64. What it does not take, LaunchGatedDeltaRecurrent does.
bool CanLaunchGatedDeltaChunked(const GatedDeltaArgs& args);

// Bytes of scratch that LaunchGatedDeltaChunked needs for steps of up to this many tokens and
// sequences: about 272 per token and value head.
size_t GatedDeltaChunkedScratchBytes(int64_t num_tokens, int64_t num_sequences,
                                     int64_t num_value_heads);

// Chunks of 64 rows that begin at multiples of 64 of the absolute position, or where the step's
// rows begin, in two kernels. With G the log decays summed up in the chunk and everything but S
// and the sums rounded to bf16:
//   per chunk:    T = (I + strictly lower(beta K K^T e^{Gi - Gj}))^-1, M = lower(Q K^T e^{Gi - Gj})
//   per sequence: D = T beta (V - e^G K S);  O = e^G Q S + M D;  S <- e^{G_last} S +
//                 (e^{G_last - G} K)^T D
// S stays float32; relative error (norm) of out and S 4e-3 to 7e-3. Flops: 6 Dk Dv + 2 * 64 (2 Dk +
// 2 Dv) per row and head. Bytes: q and k read twice per value head, v, out and S once.
cudaError_t LaunchGatedDeltaChunked(const GatedDeltaArgs& args, std::byte* scratch, DeltaRows rows,
                                    cudaStream_t stream);

// The last inputs of a sequence, not yet in S. For every head, entry j holds k, the corrected value
// d = beta (v - S^T k) and the log decay g of one token; with S0 the S in the slot and n entries
//   S = e^{g_0 + .. + g_(n-1)} S0 + sum_j e^{g_(j+1) + .. + g_(n-1)} k_j d_j^T
struct DeltaRing {
  SlotField entries;                // DeltaRingBytes() in every slot, a multiple of 16 apart
  const int32_t* counts = nullptr;  // [B] n of the batch's sequences, 0 <= n < length
  int32_t length = 16;              // 1 .. kMaxDeltaRing; S is written by every length-th token
};

inline constexpr int32_t kMaxDeltaRing = 32;

// Bytes of one slot's entries of one layer, a multiple of 16. `dtype` is that of the inputs: k is
// kept as it comes.
size_t DeltaRingBytes(int64_t key_heads, int64_t value_heads, int64_t key_dim, int64_t value_dim,
                      DType dtype, int32_t length);

// Whether the ring form takes these types and shapes: Dk 64, 128, 192 or 256, Dv a multiple of 4.
bool CanLaunchGatedDeltaRing(const GatedDeltaArgs& args, const DeltaRing& ring);

// One row per sequence (those with none are left alone), S float32:
//   d_t = beta_t (v_t - e^{G_t} S0^T k_t - sum_j e^{G_t - G_j} (k_j . k_t) d_j)
//   o_t = e^{G_t} S0^T q_t + sum_j e^{G_t - G_j} (k_j . q_t) d_j + (k_t . q_t) d_t
// The token becomes entry n, or with n = length - 1 it and the ring are folded into S.
// Bytes: S read once, written once per `length` steps, n entries read, one written.
cudaError_t LaunchGatedDeltaRing(const GatedDeltaArgs& args, const DeltaRing& ring,
                                 cudaStream_t stream);

// Folds the rings of the batch's sequences into S (of args: the state, the shapes of k and v, and
// the batch's slots; the sequences' rows do not matter). Bytes: S read and written, the entries.
// Before a prompt's piece or a copy of the slot; then LaunchClearDeltaRing.
cudaError_t LaunchGatedDeltaFold(const GatedDeltaArgs& args, const DeltaRing& ring,
                                 cudaStream_t stream);

// All layers' rings of a slot are equally long: `slot_counts` has that by slot. Before a step's
// first layer: counts[i] = slot_counts[slots[i]].
cudaError_t LaunchReadDeltaRing(const RaggedBatch& batch, const int32_t* slot_counts,
                                int32_t* counts, cudaStream_t stream);
// After its last layer, for every sequence with a row: slot_counts + 1, or 0 where that is
// `length`. Slot 0 stays at 0.
cudaError_t LaunchAdvanceDeltaRing(const RaggedBatch& batch, int32_t length, int32_t* slot_counts,
                                   cudaStream_t stream);
// After a fold: 0 for every sequence of the batch.
cudaError_t LaunchClearDeltaRing(const RaggedBatch& batch, int32_t* slot_counts,
                                 cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_H_
