// CPU kernel of GatedDelta (kernels/ops/gated_delta.h): float32, rows of q, k, v, a, b and out may
// be strided.
//
// Two forms of the same recurrence. A sequence's own number of rows in the step (and Dk) chooses,
// so neighbours do not matter:
//   recurrent (gated_delta_recurrent-inl.h): few rows, or small Dk. Bytes: the state once in, once
//   out. chunked (gated_delta_chunked-inl.h): prompt pieces. Chunks of 16 rows end at multiples of
//   16 of the absolute position.
// With a ring, single tokens take a third form (gated_delta_ring-inl.h), which is plain and slow:
// it is there to test what the CUDA backend's rings are used for. A task is one (sequence, value
// head) or, when there are few of those, a range of its Dv columns: S's columns do not interact, so
// the cut changes no bit. What does not depend on the columns is then computed once per range.
#ifndef WINNOW_KERNELS_CPU_GATED_DELTA_H_
#define WINNOW_KERNELS_CPU_GATED_DELTA_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/gated_delta.h"

namespace winnow::cpu {

// kByRows is what GatedDelta takes; the others are for tests and benchmarks.
enum class DeltaForm { kByRows, kRecurrent, kChunked };

void GatedDelta(ThreadPool& pool, const GatedDeltaArgs& args);
void GatedDeltaInForm(ThreadPool& pool, const GatedDeltaArgs& args, DeltaForm form);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_GATED_DELTA_H_
