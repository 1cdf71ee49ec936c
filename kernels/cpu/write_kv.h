// Puts a step's keys and values into pages: see WriteKvArgs in kernels/ops/attention.h.
//
// Bytes: 16 D (read and written) for each token and head that goes to the ring, the same for each
// survivor. Threading: a task is one (sequence, kv head), which alone owns the pages that it reads
// and writes.
#ifndef WINNOW_KERNELS_CPU_WRITE_KV_H_
#define WINNOW_KERNELS_CPU_WRITE_KV_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/attention.h"

namespace winnow::cpu {

// REQUIRES: float32; every place that is written has a page (page 0 only in slot 0).
void WriteKv(ThreadPool& pool, const WriteKvArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_WRITE_KV_H_
