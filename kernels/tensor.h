// TensorView: a non-owning, typed-at-run-time view of an array in some backend's memory.
//
// The element type is a field, not a template parameter: the CPU keeps activations in float32 and
// the GPU in bf16, and the model's forward pass is the same list of ops for both. Kernels ask for
// the type that they support with `data<T>()`, which CHECKs.
//
// Shapes are written [T, H, D]: T tokens in a step, B sequences in a step, H heads, D head dim, M
// hidden size.
#ifndef WINNOW_KERNELS_TENSOR_H_
#define WINNOW_KERNELS_TENSOR_H_

#include <array>
#include <cstdint>
#include <initializer_list>

#include "kernels/check.h"
#include "kernels/dtype.h"

namespace winnow {

struct TensorView {
  static constexpr int kMaxRank = 4;

  void* raw = nullptr;
  DType dtype = DType::kF32;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape = {};
  int64_t row_stride = 0;  // elements between shape[0] entries; the inner dimensions are contiguous

  // A contiguous tensor.
  static TensorView Of(void* data, DType dtype, std::initializer_list<int64_t> shape) {
    WINNOW_CHECK(shape.size() <= kMaxRank);
    TensorView view;
    view.raw = data;
    view.dtype = dtype;
    for (const int64_t n : shape) view.shape[view.rank++] = n;
    view.row_stride = view.RowSize();
    return view;
  }

  template <typename T>
  T* data() const {
    WINNOW_CHECK(dtype == DTypeOf<T>::value) << DTypeName(dtype) << " tensor";
    return static_cast<T*>(raw);
  }
  // Pointer to entry i of the first dimension.
  template <typename T>
  T* row(int64_t i) const {
    return data<T>() + i * row_stride;
  }

  int64_t dim(int i) const { return shape[i]; }
  // Elements in one entry of the first dimension.
  int64_t RowSize() const {
    int64_t n = 1;
    for (int i = 1; i < rank; ++i) n *= shape[i];
    return n;
  }
  int64_t size() const { return rank == 0 ? 0 : shape[0] * RowSize(); }
  bool IsContiguous() const { return row_stride == RowSize(); }

  // The first n entries of the first dimension.
  TensorView First(int64_t n) const {
    WINNOW_CHECK(n <= shape[0]) << n << " of " << shape[0];
    TensorView view = *this;
    view.shape[0] = n;
    return view;
  }
  // The same elements with other inner dimensions; REQUIRES the same RowSize().
  TensorView Rows(std::initializer_list<int64_t> inner) const {
    TensorView view = *this;
    view.rank = 1;
    for (const int64_t n : inner) view.shape[view.rank++] = n;
    WINNOW_CHECK(view.RowSize() == RowSize()) << view.RowSize() << " vs " << RowSize();
    return view;
  }
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_TENSOR_H_
