// Which tokens are kept when they leave the window: see DeparturesArgs in kernels/ops/attention.h.
//
// Exact replay, token by token, for each (sequence, head); no arithmetic on scores, so every
// backend gives the same result to the bit. The lowest kept score is found by a scan (8 bytes per
// slot), remembered until a kept token changes.
//
// Threading: a task is one (sequence, head).
#ifndef WINNOW_KERNELS_CPU_DEPARTURES_H_
#define WINNOW_KERNELS_CPU_DEPARTURES_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/attention.h"

namespace winnow::cpu {

void Departures(ThreadPool& pool, const DeparturesArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_DEPARTURES_H_
