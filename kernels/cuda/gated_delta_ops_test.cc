// The short convolution and the gated delta rule on CUDA against the CPU's: ragged steps of
// sequences that are cut at random, odd shapes, poisoned outputs, states compared at the end.
#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/cuda/testing/batches.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::testing::Identical;
using ::winnow::testing::Near;
using ::winnow::testing::RandomFloats;

class GatedDeltaOps : public ::testing::TestWithParam<DType> {
 protected:
  DType compute() const { return GetParam(); }
  Backend& cuda() const { return CudaFor(compute()); }
};

INSTANTIATE_TEST_SUITE_P(Compute, GatedDeltaOps, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return DTypeName(info.param); });

const std::vector<int64_t> kTotals = {1, 150, 7, 90};
constexpr int64_t kSlots = 4;

struct ConvRun {
  std::vector<std::vector<float>> outs;       // by step
  std::vector<std::vector<float>> histories;  // by slot
};

ConvRun RunConv(Backend& backend, DType inputs, int64_t channels, int64_t width) {
  const TestField history(backend, kSlots, (width - 1) * channels);
  const TestArray<float> weight(backend, RandomFloats(channels * width, 1));
  ConvRun run;
  uint64_t seed = 2;
  for (const auto& parts : RandomSteps(kTotals, 80, 3)) {
    const TestBatch batch(backend, parts);
    const int64_t rows = batch.view().num_tokens;
    const TestTensor x(backend, backend.activation_dtype(), {rows, channels},
                       RandomFor(inputs, rows * channels, seed++, -2, 2));
    const TestTensor out(backend, backend.activation_dtype(), {rows, channels});
    EXPECT_TRUE(backend
                    .ShortConv({.batch = batch.view(),
                                .x = x,
                                .weight = weight.data(),
                                .width = width,
                                .history = history.view(),
                                .out = out})
                    .ok());
    run.outs.push_back(out.Read());
  }
  for (int64_t slot = 0; slot <= kSlots; ++slot) run.histories.push_back(history.Read(slot));
  return run;
}

TEST_P(GatedDeltaOps, ShortConv) {
  for (const int64_t width : {1, 2, 4, 5, 64}) {
    for (const int64_t channels : {1, 6, 97, 516}) {
      SCOPED_TRACE(::testing::Message() << "width " << width << ", channels " << channels);
      const ConvRun expected = RunConv(Cpu(), compute(), channels, width);
      const ConvRun actual = RunConv(cuda(), compute(), channels, width);
      for (size_t step = 0; step < expected.outs.size(); ++step) {
        EXPECT_TRUE(Near(actual.outs[step], expected.outs[step],
                         {.relative = compute() == DType::kBF16 ? 0x1p-8 : 1e-5, .absolute = 2e-5}))
            << "step " << step;
      }
      for (int64_t slot = 1; slot <= kSlots; ++slot) {
        EXPECT_TRUE(Identical(actual.histories[slot], expected.histories[slot])) << slot;
      }
    }
  }
}

struct DeltaShape {
  int64_t key_heads, value_heads, key_dim, value_dim;
};

struct DeltaRun {
  std::vector<std::vector<float>> outs, states;
};

DeltaRun RunDelta(Backend& backend, DType inputs, const DeltaShape& s, float beta_scale) {
  const TestField state(backend, kSlots, s.value_heads * s.key_dim * s.value_dim);
  const TestArray<float> a_log(backend, RandomFloats(s.value_heads, 4, -3, 2));
  const TestArray<float> dt_bias(backend, RandomFloats(s.value_heads, 5, -4, 1));
  const DType dtype = backend.activation_dtype();
  DeltaRun run;
  uint64_t seed = 6;
  for (const auto& parts : RandomSteps(kTotals, 100, 7)) {
    const TestBatch batch(backend, parts);
    const int64_t t = batch.view().num_tokens;
    const auto random = [&](int64_t size, float low, float high) {
      return RandomFor(inputs, size, seed++, low, high);
    };
    const TestTensor q(backend, dtype, {t, s.key_heads, s.key_dim},
                       random(t * s.key_heads * s.key_dim, -2, 3));
    const TestTensor k(backend, dtype, {t, s.key_heads, s.key_dim},
                       random(t * s.key_heads * s.key_dim, -1, 2));
    const TestTensor v(backend, dtype, {t, s.value_heads, s.value_dim},
                       random(t * s.value_heads * s.value_dim, -2, 2));
    const TestTensor a(backend, DType::kF32, {t, s.value_heads}, random(t * s.value_heads, -3, 3));
    const TestTensor b(backend, DType::kF32, {t, s.value_heads}, random(t * s.value_heads, -4, 4));
    const TestTensor out(backend, dtype, {t, s.value_heads, s.value_dim});
    EXPECT_TRUE(backend
                    .GatedDelta({.batch = batch.view(),
                                 .q = q,
                                 .k = k,
                                 .v = v,
                                 .a = a,
                                 .b = b,
                                 .a_log = a_log.data(),
                                 .dt_bias = dt_bias.data(),
                                 .beta_scale = beta_scale,
                                 .state = state.view(),
                                 .out = out})
                    .ok());
    run.outs.push_back(out.Read());
  }
  for (int64_t slot = 0; slot <= kSlots; ++slot) run.states.push_back(state.Read(slot));
  return run;
}

// In bf16 prompts of these head sizes run on the tensor cores, whose operands are rounded: then the
// errors are of the array, not of each number (kernels/cuda/gated_delta.h).
bool RunsInChunks(DType compute, const DeltaShape& s) {
  return compute == DType::kBF16 && (s.key_dim == 64 || s.key_dim == 128 || s.key_dim == 256) &&
         s.value_dim % 64 == 0;
}

double RelativeError(const std::vector<float>& actual, const std::vector<float>& expected) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(double{actual[i]} - expected[i], 2);
    norm += std::pow(double{expected[i]}, 2);
  }
  return norm == 0 ? error : std::sqrt(error / norm);  // NaN if anything is
}

::testing::AssertionResult Agree(const std::vector<float>& actual,
                                 const std::vector<float>& expected, bool in_chunks,
                                 double relative) {
  if (!in_chunks) return Near(actual, expected, {.relative = relative, .absolute = 1e-4});
  const double error = RelativeError(actual, expected);
  if (error <= 1e-2) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "relative error " << error;
}

TEST_P(GatedDeltaOps, GatedDelta) {
  for (const DeltaShape& shape :
       {DeltaShape{1, 1, 1, 1}, DeltaShape{2, 4, 16, 24}, DeltaShape{1, 2, 50, 33},
        DeltaShape{2, 2, 64, 64}, DeltaShape{1, 1, 128, 130}, DeltaShape{1, 2, 256, 256}}) {
    for (const float beta_scale : {1.0f, 2.0f}) {
      SCOPED_TRACE(::testing::Message() << shape.key_dim << " x " << shape.value_dim);
      const bool in_chunks = RunsInChunks(compute(), shape);
      const DeltaRun expected = RunDelta(Cpu(), compute(), shape, beta_scale);
      const DeltaRun actual = RunDelta(cuda(), compute(), shape, beta_scale);
      for (size_t step = 0; step < expected.outs.size(); ++step) {
        EXPECT_TRUE(Agree(actual.outs[step], expected.outs[step], in_chunks,
                          compute() == DType::kBF16 ? 0x1p-8 : 1e-4))
            << "step " << step;
      }
      for (int64_t slot = 1; slot <= kSlots; ++slot) {
        EXPECT_TRUE(Agree(actual.states[slot], expected.states[slot], in_chunks, 1e-4)) << slot;
      }
    }
  }
}

}  // namespace
}  // namespace winnow::cuda
