// What gated_delta.cc and the vector code behind it tell each other.
#ifndef WINNOW_KERNELS_CPU_GATED_DELTA_TASK_H_
#define WINNOW_KERNELS_CPU_GATED_DELTA_TASK_H_

#include <cstdint>

#include "kernels/ops/gated_delta.h"

namespace winnow::cpu {

// Rows of a chunk at most. Measured: 16 beats 32 and 64 on every instruction set and head size,
// since the register tiles need no larger products and flops that grow with the chunk are saved.
inline constexpr int64_t kDeltaChunk = 16;
// Key dimensions are padded to this many floats, a multiple of every register tile and vector (16
// floats at most).
inline constexpr int64_t kDeltaPad = 16;

constexpr int64_t RoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// One sequence's rows of one value head, columns [col_begin, col_end) of Dv. col_begin is a
// multiple of kDeltaColumns.
struct DeltaTask {
  const GatedDeltaArgs* args = nullptr;
  int64_t first_row = 0;
  int64_t num_rows = 0;  // > 0
  int64_t slot = 0;
  int64_t ring_count = 0;  // entries in the ring, if there is one
  int64_t head = 0;
  int64_t col_begin = 0;
  int64_t col_end = 0;
  float* scratch = nullptr;  // aligned to 64 bytes; DeltaScratchFloats() of them

  int64_t key_dim() const { return args->q.dim(2); }
  int64_t value_dim() const { return args->v.dim(2); }
  int64_t key_head() const { return head / (args->v.dim(1) / args->k.dim(1)); }

  const float* q(int64_t row) const {
    return args->q.row<float>(first_row + row) + key_head() * key_dim();
  }
  const float* k(int64_t row) const {
    return args->k.row<float>(first_row + row) + key_head() * key_dim();
  }
  const float* v(int64_t row) const {
    return args->v.row<float>(first_row + row) + head * value_dim();
  }
  float* out(int64_t row) const {
    return args->out.row<float>(first_row + row) + head * value_dim();
  }
  float a(int64_t row) const { return args->a.row<float>(first_row + row)[head]; }
  float b(int64_t row) const { return args->b.row<float>(first_row + row)[head]; }
  // S [Dk, Dv] of this head.
  float* state() const { return args->state.at<float>(slot) + head * key_dim() * value_dim(); }
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_GATED_DELTA_TASK_H_
