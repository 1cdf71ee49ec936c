// For tests of the gated delta rule on the GPU: sequences with random inputs, the definition in
// float64, and steps over several sequences in device memory.
#ifndef WINNOW_KERNELS_CUDA_GATED_DELTA_TESTING_H_
#define WINNOW_KERNELS_CUDA_GATED_DELTA_TESTING_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/dtype.h"
#include "kernels/ops/gated_delta.h"

namespace winnow::cuda::testing {

struct DeltaShape {
  int64_t key_heads = 1;
  int64_t value_heads = 1;
  int64_t key_dim = 1;
  int64_t value_dim = 1;

  int64_t state_size() const { return value_heads * key_dim * value_dim; }
};

// The weights of one layer.
struct DeltaLayer {
  DeltaShape shape;
  std::vector<float> a_log;
  std::vector<float> dt_bias;
  float beta_scale = 1;
};

// One sequence: the inputs of all its rows, values that `dtype` holds exactly, and its state before
// the first row.
struct DeltaInputs {
  int64_t num_rows = 0;
  int64_t first_position = 0;
  DType dtype = DType::kF32;
  std::vector<float> q, k, v, a, b;
  std::vector<float> state;

  void Round();  // to dtype, all but the state
};

DeltaLayer RandomDeltaLayer(const DeltaShape& shape, float beta_scale, uint64_t seed);
DeltaInputs RandomDeltaInputs(const DeltaShape& shape, DType dtype, int64_t num_rows,
                              uint64_t seed);

struct DeltaResult {
  std::vector<double> out;
  std::vector<double> state;
};

// The definition, row by row.
DeltaResult DeltaReference(const DeltaLayer& layer, const DeltaInputs& inputs);

// |x - expected| / |expected|, Euclidean; infinite if anything is NaN or the lengths differ.
double RelativeError(std::span<const float> x, std::span<const double> expected);

// Device memory, freed with this.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t size);
  explicit DeviceBytes(std::span<const std::byte> content);
  template <typename T>
  explicit DeviceBytes(const std::vector<T>& content)
      : DeviceBytes(std::as_bytes(std::span(content))) {}
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  std::vector<std::byte> Download() const;
  template <typename T>
  T* as() const {
    return static_cast<T*>(pointer_);
  }
  size_t size() const { return size_; }

 private:
  void* pointer_ = nullptr;
  size_t size_ = 0;
};

// Floats as `dtype` (kF32 or kBF16) in memory, and back.
std::vector<std::byte> ToBytes(std::span<const float> values, DType dtype);
std::vector<float> ToFloats(std::span<const std::byte> bytes, DType dtype);

// Some rows of one sequence in a step.
struct DeltaPiece {
  DeltaInputs* inputs = nullptr;  // their state is moved on
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<float>* out = nullptr;  // of all rows
};

using DeltaLaunch = std::function<cudaError_t(const GatedDeltaArgs&)>;

// How a step lies in memory. Rows are `row_gap` elements apart beyond their own, slots `slot_gap`
// floats beyond S, and S begins `slot_gap` floats into the memory.
struct DeltaMemory {
  DType state_dtype = DType::kF32;
  int64_t row_gap = 8;
  int64_t slot_gap = 4;
};

// Runs one step with the pieces' sequences in scattered slots, outputs poisoned. Adds a test
// failure if the launch fails, or anything but the pieces' rows and states is written.
void RunDeltaStep(const DeltaLayer& layer, const DeltaMemory& memory,
                  const std::vector<DeltaPiece>& pieces, const DeltaLaunch& launch);

// One whole sequence in steps of the given sizes (the last repeats). Returns the output.
std::vector<float> RunDelta(const DeltaLayer& layer, const DeltaMemory& memory, DeltaInputs& inputs,
                            const std::vector<int64_t>& sizes, const DeltaLaunch& launch);

// Base of tests that need a device: skipped where there is none.
class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override;
};

}  // namespace winnow::cuda::testing

#endif  // WINNOW_KERNELS_CUDA_GATED_DELTA_TESTING_H_
