// Cuts an op's index ranges into tasks for the thread pool, so that small ops run on the caller
// alone.
//
// How a range is cut may depend on the number of threads; no result may depend on how it is cut.
#ifndef WINNOW_KERNELS_CPU_PARALLEL_H_
#define WINNOW_KERNELS_CPU_PARALLEL_H_

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/thread_pool.h"

namespace winnow::cpu {

// Calls fn(begin, end) for consecutive blocks of at most `block` indices that cover [0, n).
// REQUIRES: block >= 1.
template <typename Fn>
void ParallelBlocks(ThreadPool& pool, int64_t n, int64_t block, const Fn& fn) {
  if (n <= 0) return;
  if (n <= block) return fn(int64_t{0}, n);
  pool.Run((n + block - 1) / block,
           [&](int64_t task, int) { fn(task * block, std::min(n, (task + 1) * block)); });
}

// Calls fn(row, begin, end) for pieces of rows that cover [rows, cols]; a task has about `grain`
// elements: several rows, or a piece of one whose begin is a multiple of `grain`.
template <typename Fn>
void ParallelTiles(ThreadPool& pool, int64_t rows, int64_t cols, int64_t grain, const Fn& fn) {
  if (rows <= 0 || cols <= 0) return;
  if (cols <= grain) {
    return ParallelBlocks(pool, rows, grain / cols, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) fn(row, int64_t{0}, cols);
    });
  }
  const int64_t pieces = (cols + grain - 1) / grain;
  ParallelBlocks(pool, rows * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t piece = i % pieces;
      fn(i / pieces, piece * grain, std::min(cols, (piece + 1) * grain));
    }
  });
}

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_PARALLEL_H_
