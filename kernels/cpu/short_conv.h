// CPU kernel of ShortConv (kernels/ops/gated_delta.h): float32, rows of x and out may be strided.
//
// Work is cut over blocks of channels; within one, each sequence's rows are computed from the
// step's rows and the history, then the history is moved on. A channel's sum runs from the oldest
// tap to the newest, whatever the cut of its sequence into steps: any cut gives the same bits.
// Bytes: x and out once, weights once per step, history read and written once.
#ifndef WINNOW_KERNELS_CPU_SHORT_CONV_H_
#define WINNOW_KERNELS_CPU_SHORT_CONV_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/gated_delta.h"

namespace winnow::cpu {

void ShortConv(ThreadPool& pool, const ShortConvArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_SHORT_CONV_H_
