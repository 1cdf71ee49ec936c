#include "kernels/cuda/testing/backends.h"

#include <bit>
#include <cstring>
#include <memory>
#include <utility>

#include "kernels/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/create.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::testing::kPoison;

constexpr int kCpuThreads = 4;
// Of the device's memory, for each of the two backends.
constexpr double kMemoryFraction = 0.3;

// More than any test asks for.
constexpr OpLimits kLimits = {.max_tokens = 8192,
                              .max_sequences = 1024,
                              .max_logits_rows = 1024,
                              .vocab_size = 1 << 18,
                              .num_query_heads = 64,
                              .num_kv_heads = 16,
                              .head_dim = 256,
                              .router_outputs = 512,
                              .num_key_heads = 16,
                              .num_value_heads = 32,
                              .key_dim = 256,
                              .value_dim = 512};

std::unique_ptr<Backend> MakeCuda(DType compute) {
  auto backend = CreateCudaBackend(
      {.memory_fraction = kMemoryFraction, .compute = compute, .cublaslt = CublasLtPath()});
  WINNOW_CHECK(backend.ok()) << backend.status();
  const absl::Status reserved = (*backend)->Reserve(kLimits);
  WINNOW_CHECK(reserved.ok()) << reserved;
  return *std::move(backend);
}

// A bf16 NaN stands for poison there.
float Unpoisoned(BF16 x) { return x.bits == ToBF16(kPoison).bits ? kPoison : ToFloat(x); }

std::vector<std::byte> Encoded(DType dtype, const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * DTypeBytes(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kBF16) {
      const BF16 x = ToBF16(values[i]);
      std::memcpy(bytes.data() + i * sizeof(x), &x, sizeof(x));
    } else {
      std::memcpy(bytes.data() + i * sizeof(float), &values[i], sizeof(float));
    }
  }
  return bytes;
}

}  // namespace

std::string& CublasLtPath() {
  static std::string path;
  return path;
}

Backend& Cpu() {
  static Backend* backend = [] {
    auto cpu = cpu::CpuBackend::Create({.num_threads = kCpuThreads});
    WINNOW_CHECK(cpu.ok()) << cpu.status();
    return cpu->release();
  }();
  return *backend;
}

Backend& CudaFor(DType compute) {
  static Backend* f32 = MakeCuda(DType::kF32).release();
  static Backend* bf16 = MakeCuda(DType::kBF16).release();
  return compute == DType::kF32 ? *f32 : *bf16;
}

std::vector<float> RandomFor(DType compute, int64_t size, uint64_t seed, float low, float high) {
  std::vector<float> values = winnow::testing::RandomFloats(size, seed, low, high);
  if (compute == DType::kBF16) {
    for (float& x : values) x = ToFloat(ToBF16(x));
  }
  return values;
}

TestTensor::TestTensor(Backend& backend, DType dtype, std::initializer_list<int64_t> shape,
                       const std::vector<float>& values)
    : backend_(backend) {
  view_ = TensorView::Of(nullptr, dtype, shape);
  WINNOW_CHECK(view_.size() == static_cast<int64_t>(values.size()))
      << values.size() << " values for " << view_.size();
  const std::vector<std::byte> bytes = Encoded(dtype, values);
  auto memory = backend.Allocate(static_cast<int64_t>(bytes.size()) + 1);
  WINNOW_CHECK(memory.ok()) << memory.status();
  memory_ = *std::move(memory);
  view_.raw = memory_.data();
  const absl::Status status =
      backend.Upload(memory_.data(), bytes.data(), static_cast<int64_t>(bytes.size()));
  WINNOW_CHECK(status.ok()) << status;
}

TestTensor::TestTensor(Backend& backend, DType dtype, std::initializer_list<int64_t> shape)
    : TestTensor(backend, dtype, shape,
                 std::vector<float>(TensorView::Of(nullptr, dtype, shape).size(), kPoison)) {}

std::vector<float> TestTensor::Read() const {
  std::vector<std::byte> bytes(view_.size() * DTypeBytes(view_.dtype));
  absl::Status status =
      backend_.Download(bytes.data(), memory_.data(), static_cast<int64_t>(bytes.size()));
  status.Update(backend_.Synchronize());
  WINNOW_CHECK(status.ok()) << status;
  std::vector<float> values(view_.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (view_.dtype == DType::kBF16) {
      BF16 x;
      std::memcpy(&x, bytes.data() + i * sizeof(x), sizeof(x));
      values[i] = Unpoisoned(x);
    } else {
      std::memcpy(&values[i], bytes.data() + i * sizeof(float), sizeof(float));
    }
  }
  return values;
}

}  // namespace winnow::cuda
