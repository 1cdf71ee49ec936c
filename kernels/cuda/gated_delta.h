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

#include "kernels/ops/gated_delta.h"

namespace winnow::cuda {

// Which sequences a launch takes, by their rows in the step.
struct DeltaRows {
  int32_t least = 1;
  int32_t most = std::numeric_limits<int32_t>::max();
};

// A whole step in the forms that suit it: with a ring every sequence of one row in the ring form,
// the others after a fold. Of those, all without a ring, every sequence with more than
// kMostRecurrentRows rows in the chunked form where there is `scratch` and the form takes the step,
// all others row by row.
cudaError_t LaunchGatedDelta(const GatedDeltaArgs& args, std::byte* scratch, cudaStream_t stream);

// An estimate of where the forms are equally fast: a row takes 1.7 us (8 heads of 256 x 256), one
// short chunk about as long as 8 of them.
inline constexpr int32_t kMostRecurrentRows = 8;

// The recurrence row by row, S float32 or bf16, then rounded after every row. No ring is looked at.
// Bytes: S read and written once per sequence, however many rows; q and k once per 64 columns of Dv
// (from the second time on out of the L2 cache). Any Dk up to 1536, any Dv.
cudaError_t LaunchGatedDeltaRecurrent(const GatedDeltaArgs& args, DeltaRows rows,
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
// The sums of S stay float32 from the first chunk to the last; S is float32 or bf16 in the slot.
// Relative error (norm) of out and S 4e-3 to 7e-3. Flops: 6 Dk Dv + 2 * 64 (2 Dk + 2 Dv) per row
// and head. Bytes: q and k read twice per value head, v, out and S once.
cudaError_t LaunchGatedDeltaChunked(const GatedDeltaArgs& args, std::byte* scratch, DeltaRows rows,
                                    cudaStream_t stream);

// Whether the ring form takes heads of this size: Dk 64, 128, 192 or 256, Dv a multiple of 4.
bool TakesDeltaRing(int64_t key_dim, int64_t value_dim);

// Whether it takes these types, shapes and strides, and args.ring: the fields of a ring are as far
// apart from slot to slot as S, everything a multiple of 16 bytes. S float32.
bool CanLaunchGatedDeltaRing(const GatedDeltaArgs& args);

// The ring form of the sequences with one row; the others are left alone. Bytes: S read once,
// written once per `length` steps, n entries read, one written.
cudaError_t LaunchGatedDeltaRing(const GatedDeltaArgs& args, cudaStream_t stream);

// Folds the rings of sequences into S, before other forms compute their rows, which do not matter
// here. Bytes: S read and written, the entries; nothing where the ring is empty.
cudaError_t LaunchGatedDeltaFold(const GatedDeltaArgs& args, DeltaRows rows, cudaStream_t stream);

// AdvanceRing.
cudaError_t LaunchAdvanceRing(const AdvanceRingArgs& args, cudaStream_t stream);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_H_
