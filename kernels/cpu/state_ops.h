// EditTablesArgs and GatherCountsArgs of kernels/ops/state.h and AdvanceRingArgs of
// kernels/ops/gated_delta.h: a few numbers, by the calling thread.
#ifndef WINNOW_KERNELS_CPU_STATE_OPS_H_
#define WINNOW_KERNELS_CPU_STATE_OPS_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/gated_delta.h"
#include "kernels/ops/state.h"

namespace winnow::cpu {

void EditTables(ThreadPool& pool, const EditTablesArgs& args);
void GatherCounts(ThreadPool& pool, const GatherCountsArgs& args);
void AdvanceRing(ThreadPool& pool, const AdvanceRingArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_STATE_OPS_H_
