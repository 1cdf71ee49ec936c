// WeightMatrix: the weight of one Linear op, in the format in which it lies in memory.
//
// A view: the memory belongs to model/weights.h (on the CPU: the mapped checkpoint file itself).
// Immutable. Quantized formats become further DTypes plus a `scales` pointer; every consumer
// switches over dtype and fails on what it does not know.
#ifndef WINNOW_KERNELS_WEIGHT_MATRIX_H_
#define WINNOW_KERNELS_WEIGHT_MATRIX_H_

#include <cstdint>

#include "kernels/dtype.h"

namespace winnow {

struct WeightMatrix {
  const void* data = nullptr;   // row-major [rows, cols]; aligned to at least 2 bytes, not more
  DType dtype = DType::kBF16;   // kBF16, kF16 or kF32
  int64_t rows = 0;             // N: outputs
  int64_t cols = 0;             // K: inputs
  const float* bias = nullptr;  // [rows], or null

  int64_t bytes() const { return rows * cols * DTypeBytes(dtype); }
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_WEIGHT_MATRIX_H_
