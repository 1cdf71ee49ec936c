// CPU kernels of the ops in kernels/ops/dense.h, Linear apart: float32 activations, rows may be
// strided.
//
// Work is cut over tokens, and over columns where that changes no sum; each row's arithmetic is its
// own, so results do not depend on the other rows or on the number of threads. exp and what is made
// of it: see exp-inl.h for the error.
#ifndef WINNOW_KERNELS_CPU_DENSE_H_
#define WINNOW_KERNELS_CPU_DENSE_H_

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/dense.h"

namespace winnow::cpu {

void Embed(ThreadPool& pool, const EmbedArgs& args);
void RmsNorm(ThreadPool& pool, const RmsNormArgs& args);
void RopeTable(ThreadPool& pool, const RopeTableArgs& args);
void Rope(ThreadPool& pool, const RopeArgs& args);
void SwiGlu(ThreadPool& pool, const SwiGluArgs& args);
void Silu(ThreadPool& pool, const SiluArgs& args);
void GatedRmsNorm(ThreadPool& pool, const GatedRmsNormArgs& args);
void GatherRows(ThreadPool& pool, const GatherRowsArgs& args);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_DENSE_H_
