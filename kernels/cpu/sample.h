// From logits to tokens on the CPU: see SampleArgs in kernels/ops/sample.h.
//
// Bytes at least: the logits once per row; a greedy row without log-probabilities reads them twice
// (largest, then its id). A row whose context changes logits edits a copy. Sums of weights are
// float64, in an order that depends on the vocabulary's size alone; weights are float32 (2 ulp).
// Threading: a task is one row.
#ifndef WINNOW_KERNELS_CPU_SAMPLE_H_
#define WINNOW_KERNELS_CPU_SAMPLE_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/sample.h"

namespace winnow::cpu {

// REQUIRES: parameters and contexts as SamplingParams and TokenContext say, num_top <=
// kMaxTopLogprobs, score_token < vocab: all checked.
void Sample(ThreadPool& pool, const SampleArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_SAMPLE_H_
