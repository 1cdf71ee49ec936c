// Attention on the CPU: see kernels/ops/attention.h for what it computes.
//
// A flash-style pass over blocks of keys with a running maximum (arXiv 1805.02867), in two shapes:
// up to eight queries of a kv head read keys and values once, at memory speed
// (attention_rows-inl.h); more are a pair of register-blocked matrix products
// (attention_tile-inl.h). Keys that none of a task's queries sees are not read.
//
// Threading: tasks are parts of (sequence, kv head); few-query tasks split the keys too, into
// segments that depend on the sequence's own number of keys, whose partial sums are then combined
// in order. Same bits for any thread count and batch.
#ifndef WINNOW_KERNELS_CPU_ATTENTION_H_
#define WINNOW_KERNELS_CPU_ATTENTION_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/attention.h"

namespace winnow::cpu {

// REQUIRES: float32 everywhere; with a plan, `span` is the V that Departures was given.
void Attention(ThreadPool& pool, const AttentionArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_ATTENTION_H_
