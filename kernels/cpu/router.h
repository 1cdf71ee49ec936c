// The router of window + learned eviction on the CPU: see RouterScoresArgs in
// kernels/ops/attention.h.
//
// A convolution is a product of rows of inputs, one for each tap, with weights [size * in, out]:
// register tiles of rows x vectors along `out`. Every output is one chain of multiply-adds in the
// order (tap, in), so its bits do not depend on which rows are computed together. Flops per token
// and head: 2 * sum of size * in * out. Bytes at least: the weights once.
//
// Threading: a task is one head of one prompt piece, or one head of some single tokens, which then
// share its weights.
#ifndef WINNOW_KERNELS_CPU_ROUTER_H_
#define WINNOW_KERNELS_CPU_ROUTER_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/attention.h"

namespace winnow::cpu {

// REQUIRES: at least one convolution; float32 everywhere.
void RouterScores(ThreadPool& pool, const RouterScoresArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_ROUTER_H_
