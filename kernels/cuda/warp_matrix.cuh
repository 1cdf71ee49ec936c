// Products of small matrices spread over a warp's registers, c [16, 8] += a [16, 16] b [16, 8], for
// bf16 (the tensor cores' m16n8k16) and for float32 (the same layout, plain multiply-adds), and the
// ways from memory into that layout. Device code.
//
// Lane l with g = l / 4, q = l % 4 holds of a, in pairs of neighbouring columns: (g, 2q), (g + 8,
// 2q), (g, 2q + 8), (g + 8, 2q + 8); of b, in pairs of neighbouring rows: (2q, g), (2q + 8, g); of
// c: (g, 2q), (g, 2q + 1), (g + 8, 2q), (g + 8, 2q + 1).
#ifndef WINNOW_KERNELS_CUDA_WARP_MATRIX_CUH_
#define WINNOW_KERNELS_CUDA_WARP_MATRIX_CUH_

#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/warp_instructions.cuh"

namespace winnow::cuda {

// Eight consecutive elements of one row in memory, as pairs.
template <typename T>
struct Eight;
template <>
struct alignas(16) Eight<BF16> {
  uint32_t pairs[4] = {};
};
template <>
struct alignas(16) Eight<float> {
  float values[8] = {};
};

template <typename T>
struct MatrixA;
template <>
struct MatrixA<BF16> {
  uint32_t pairs[4];
};
template <>
struct MatrixA<float> {
  float values[8];
};
template <typename T>
struct MatrixB;
template <>
struct MatrixB<BF16> {
  uint32_t pairs[2];
};
template <>
struct MatrixB<float> {
  float values[4];
};

// `count` (0 .. 8) elements, then zeros.
template <bool kVectors, typename T>
__device__ Eight<T> LoadEight(const T* from, int count) {
  Eight<T> to;
  if constexpr (kVectors) {
    if (count > 0) to = *reinterpret_cast<const Eight<T>*>(from);
  } else {
    T elements[8] = {};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) elements[i] = from[i];
    }
    if constexpr (sizeof(T) == sizeof(float)) {
#pragma unroll
      for (int i = 0; i < 8; ++i) to.values[i] = elements[i];
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        to.pairs[i] = elements[2 * i].bits | uint32_t{elements[2 * i + 1].bits} << 16;
      }
    }
  }
  return to;
}

// Half `half` of a lane's eight elements of row g as the first 8 rows of a (the others zero) or as
// column g of b. The 32 elements of which lane q has 8 q .. 8 q + 7 are so the two halves' columns,
// in the same order for a and b.
__device__ inline MatrixA<BF16> RowsOfA(const Eight<BF16>& x, int half) {
  return {{x.pairs[2 * half], 0, x.pairs[2 * half + 1], 0}};
}
__device__ inline MatrixA<float> RowsOfA(const Eight<float>& x, int half) {
  const float* v = x.values + 4 * half;
  return {{v[0], v[1], 0, 0, v[2], v[3], 0, 0}};
}
__device__ inline MatrixB<BF16> ColumnOfB(const Eight<BF16>& x, int half) {
  return {{x.pairs[2 * half], x.pairs[2 * half + 1]}};
}
__device__ inline MatrixB<float> ColumnOfB(const Eight<float>& x, int half) {
  const float* v = x.values + 4 * half;
  return {{v[0], v[1], v[2], v[3]}};
}

// Columns 2q, 2q + 1, 2q + 8 and 2q + 9 of a, from eight elements of each: rows g and g + 8 are
// their elements 2 i and 2 i + 1.
__device__ inline MatrixA<BF16> ColumnsOfA(const Eight<BF16> (&x)[4], int i) {
  return {{LowHalves(x[0].pairs[i], x[1].pairs[i]), HighHalves(x[0].pairs[i], x[1].pairs[i]),
           LowHalves(x[2].pairs[i], x[3].pairs[i]), HighHalves(x[2].pairs[i], x[3].pairs[i])}};
}
__device__ inline MatrixA<float> ColumnsOfA(const Eight<float> (&x)[4], int i) {
  const int low = 2 * i, high = 2 * i + 1;
  return {{x[0].values[low], x[1].values[low], x[0].values[high], x[1].values[high],
           x[2].values[low], x[3].values[low], x[2].values[high], x[3].values[high]}};
}

__device__ inline void Multiply(float (&c)[4], const MatrixA<BF16>& a, const MatrixB<BF16>& b) {
  MultiplyBF16(c, a.pairs, b.pairs);
}
__device__ inline void Multiply(float (&c)[4], const MatrixA<float>& a, const MatrixB<float>& b) {
  const int lane = threadIdx.x % kWarpSize, row = lane / 4 * 4, column = lane % 4 * 8;
#pragma unroll
  for (int k = 0; k < 16; ++k) {
    const int half = k / 8, from = k % 8 / 2, e = k % 2;
    const float above = __shfl_sync(kFullWarp, a.values[4 * half + e], row + from);
    const float below = __shfl_sync(kFullWarp, a.values[4 * half + 2 + e], row + from);
    const float left = __shfl_sync(kFullWarp, b.values[2 * half + e], column + from);
    const float right = __shfl_sync(kFullWarp, b.values[2 * half + e], column + 4 + from);
    c[0] = fmaf(above, left, c[0]);
    c[1] = fmaf(above, right, c[1]);
    c[2] = fmaf(below, left, c[2]);
    c[3] = fmaf(below, right, c[3]);
  }
}

// c += a w for weights w given as float32: rows 2q, 2q + 1, 2q + 8 and 2q + 9 of column g. bf16
// takes them as the sum of two.
__device__ inline void MultiplyWeights(float (&c)[4], const MatrixA<BF16>& a, const float (&w)[4]) {
  const BF16Parts first = PartsOf(w[0], w[1]), second = PartsOf(w[2], w[3]);
  Multiply(c, a, MatrixB<BF16>{{first.high, second.high}});
  Multiply(c, a, MatrixB<BF16>{{first.low, second.low}});
}
__device__ inline void MultiplyWeights(float (&c)[4], const MatrixA<float>& a,
                                       const float (&w)[4]) {
  Multiply(c, a, MatrixB<float>{{w[0], w[1], w[2], w[3]}});
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_WARP_MATRIX_CUH_
