// What Hopper's copy engine is told about a matrix in device memory: for CopyBox (sm90.cuh). Host
// code; nothing links to the driver, whose function is found at run time.
#ifndef WINNOW_KERNELS_CUDA_TENSOR_MAP_H_
#define WINNOW_KERNELS_CUDA_TENSOR_MAP_H_

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace winnow::cuda {

// Columns of a box: 128 bytes, a row of a tile in the 128-byte swizzle.
inline constexpr int kBoxColumns = 64;

// A matrix of bf16 [rows, cols] whose rows begin `row_stride` elements apart. `data` and rows begin
// at multiples of 16 bytes.
struct BoxedMatrix {
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;
};

// Boxes of box_rows (1 .. 256) x kBoxColumns; what lies beyond the matrix is copied as zeros.
// cudaErrorInvalidValue: an empty or misaligned matrix; cudaErrorNotSupported: an older driver.
cudaError_t MapMatrix(const BoxedMatrix& matrix, int box_rows, CUtensorMap* map);

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_TENSOR_MAP_H_
