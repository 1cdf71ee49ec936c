// The backends that GPU tests compare: the CPU's, the definition of every op, and CUDA's in both of
// its compute types. Made once for a test program, which needs a GPU.
//
//   for (const DType compute : {DType::kF32, DType::kBF16}) {
//     Backend& cuda = CudaFor(compute);
//     TestTensor x(cuda, compute, {T, C}, RandomFor(compute, T * C, seed));
//     TestTensor out(cuda, compute, {T, C});  // poisoned
//     ... op ...
//     EXPECT_TRUE(Near(out.Read(), expected, {.relative = 1e-5}));
//   }
#ifndef WINNOW_KERNELS_CUDA_TESTING_BACKENDS_H_
#define WINNOW_KERNELS_CUDA_TESTING_BACKENDS_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/dtype.h"
#include "kernels/tensor.h"

namespace winnow::cuda {

// Path of libcublasLt.so.13 for CudaFor; empty: where the loader finds it. Set before the first
// call.
std::string& CublasLtPath();

Backend& Cpu();
Backend& CudaFor(DType compute);

// Uniform in [low, high), rounded to values that `compute` holds exactly.
std::vector<float> RandomFor(DType compute, int64_t size, uint64_t seed, float low = -1,
                             float high = 1);

// An array in a backend's memory, filled with values or with poison.
class TestTensor {
 public:
  TestTensor(Backend& backend, DType dtype, std::initializer_list<int64_t> shape);
  TestTensor(Backend& backend, DType dtype, std::initializer_list<int64_t> shape,
             const std::vector<float>& values);

  const TensorView& view() const { return view_; }
  operator TensorView() const { return view_; }
  // As floats; what was never written stays poison.
  std::vector<float> Read() const;

 private:
  Backend& backend_;
  DeviceBuffer memory_;
  TensorView view_;
};

// An array of plain values in a backend's memory.
template <typename T>
class TestArray {
 public:
  TestArray(Backend& backend, const std::vector<T>& values)
      : backend_(backend), size_(values.size()) {
    memory_ = *backend.Allocate(static_cast<int64_t>(size_ * sizeof(T)) + 1);
    Write(values);
  }
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  std::byte* bytes() const { return memory_.data(); }
  void Write(const std::vector<T>& values) {
    if (values.empty()) return;
    const absl::Status status =
        backend_.Upload(memory_.data(), values.data(), static_cast<int64_t>(size_ * sizeof(T)));
    WINNOW_CHECK(status.ok()) << status;
  }
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    absl::Status status =
        backend_.Download(values.data(), memory_.data(), static_cast<int64_t>(size_ * sizeof(T)));
    status.Update(backend_.Synchronize());
    WINNOW_CHECK(status.ok()) << status;
    return values;
  }

 private:
  Backend& backend_;
  size_t size_;
  DeviceBuffer memory_;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_TESTING_BACKENDS_H_
