// The ops without sequence state on CUDA against the CPU's, in both compute types: fresh inputs
// that both hold exactly, poisoned outputs, odd shapes. With bf16 the only differences allowed are
// those of rounding a result once.
#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/drawn_token.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::testing::ExactFloats;
using ::winnow::testing::Identical;
using ::winnow::testing::Near;
using ::winnow::testing::Tolerance;

// One rounding to bf16 is 2^-9 of a value.
Tolerance OneRounding(DType compute, double absolute = 2e-6) {
  return {.relative = compute == DType::kBF16 ? 0x1p-8 : 1e-5, .absolute = absolute};
}

class DenseOps : public ::testing::TestWithParam<DType> {
 protected:
  DType compute() const { return GetParam(); }
  Backend& cuda() const { return CudaFor(compute()); }
  std::vector<float> Random(int64_t size, uint64_t seed, float low = -1, float high = 1) const {
    return RandomFor(compute(), size, seed, low, high);
  }
};

INSTANTIATE_TEST_SUITE_P(Compute, DenseOps, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return DTypeName(info.param); });

TEST_P(DenseOps, Embed) {
  for (const int64_t size : {1, 3, 64, 97, 2048}) {
    const std::vector<float> table = Random(50 * size, 1);
    const std::vector<uint32_t> ids = {49, 0, 7, 7, 21};
    const auto run = [&](Backend& backend, DType dtype) {
      const TestTensor weight(backend, dtype, {50, size}, table);
      const TestArray<uint32_t> tokens(backend, ids);
      const TestTensor out(backend, DType::kF32, {5, size});
      EXPECT_TRUE(
          backend
              .Embed(
                  {.table = {.data = weight.view().raw, .dtype = dtype, .rows = 50, .cols = size},
                   .tokens = tokens.data(),
                   .out = out})
              .ok());
      return out.Read();
    };
    EXPECT_TRUE(Identical(run(cuda(), compute()), run(Cpu(), DType::kF32))) << size;
  }
}

// What a step before has drawn stands for the same ids.
TEST_P(DenseOps, EmbedOfDrawnTokens) {
  constexpr int64_t kSize = 64;
  const std::vector<float> table = Random(50 * kSize, 1);
  const auto run = [&](std::vector<uint32_t> ids) {
    const TestTensor weight(cuda(), compute(), {50, kSize}, table);
    const TestArray<uint32_t> tokens(cuda(), ids), drawn(cuda(), {49, 3, 0, 21});
    const TestTensor out(cuda(), DType::kF32, {4, kSize});
    const EmbedArgs args = {
        .table = {.data = weight.view().raw, .dtype = compute(), .rows = 50, .cols = kSize},
        .tokens = tokens.data(),
        .drawn = drawn.data(),
        .out = out};
    EXPECT_TRUE(cuda().Embed(args).ok());
    return out.Read();
  };
  EXPECT_TRUE(
      Identical(run({DrawnToken(3), 7, DrawnToken(1), DrawnToken(0)}), run({21, 7, 3, 49})));
}

TEST_P(DenseOps, RmsNorm) {
  for (const int64_t size : {1, 7, 64, 97, 2048, 2050, 8200}) {
    for (const bool with_delta : {false, true}) {
      const std::vector<float> x = winnow::testing::RandomFloats(5 * size, 2, -3, 3);
      const std::vector<float> delta = Random(5 * size, 3);
      const std::vector<float> weight = winnow::testing::RandomFloats(size, 4, 0.5, 2);
      std::vector<float> sums[2], outs[2];
      for (const int i : {0, 1}) {
        Backend& backend = i == 0 ? Cpu() : cuda();
        const DType dtype = backend.activation_dtype();
        const TestTensor residual(backend, DType::kF32, {5, size}, x);
        const TestTensor add(backend, dtype, {5, size}, delta);
        const TestArray<float> w(backend, weight);
        const TestTensor out(backend, dtype, {5, size});
        EXPECT_TRUE(backend
                        .RmsNorm({.x = residual,
                                  .delta = with_delta ? add.view() : TensorView(),
                                  .weight = w.data(),
                                  .eps = 1e-6f,
                                  .out = out})
                        .ok());
        sums[i] = residual.Read();
        outs[i] = out.Read();
      }
      EXPECT_TRUE(Identical(sums[1], sums[0])) << size;
      EXPECT_TRUE(Near(outs[1], outs[0], OneRounding(compute()))) << size;
    }
  }
}

// Sums of exact products are exact in any order, so any algorithm must be right to the last bit.
TEST_P(DenseOps, LinearIsExactOnExactNumbers) {
  for (const int64_t rows : {1, 2, 3, 4, 5, 8, 9, 17, 64, 130}) {
    for (const auto& [outputs, inputs] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 5}, {97, 64}, {64, 97}, {128, 256}, {200, 4104}, {1000, 72}}) {
      const std::vector<float> x = ExactFloats(rows * inputs, 5),
                               w = ExactFloats(outputs * inputs, 6);
      const auto run = [&](Backend& backend) {
        const DType dtype = backend.activation_dtype();
        const TestTensor in(backend, dtype, {rows, inputs}, x);
        const TestTensor weight(backend, dtype, {outputs, inputs}, w);
        const TestTensor out(backend, DType::kF32, {rows, outputs});
        const absl::Status status = backend.Linear(
            {.x = in,
             .weight = {.data = weight.view().raw, .dtype = dtype, .rows = outputs, .cols = inputs},
             .out = out});
        EXPECT_TRUE(status.ok()) << status;
        return out.Read();
      };
      EXPECT_TRUE(Identical(run(cuda()), run(Cpu()))) << rows << " " << outputs << " " << inputs;
    }
  }
}

TEST_P(DenseOps, LinearTakesStridedRowsAndAddsTheBias) {
  constexpr int64_t kRows = 9, kInputs = 48, kOutputs = 33;
  const std::vector<float> x = ExactFloats(kRows * 2 * kInputs, 7);
  const std::vector<float> w = ExactFloats(kOutputs * kInputs, 8), bias = ExactFloats(kOutputs, 9);
  const auto run = [&](Backend& backend) {
    const DType dtype = backend.activation_dtype();
    const TestTensor in(backend, dtype, {kRows, 2 * kInputs}, x);
    const TestTensor weight(backend, dtype, {kOutputs, kInputs}, w);
    const TestArray<float> b(backend, bias);
    const TestTensor out(backend, DType::kF32, {kRows, 2 * kOutputs});
    TensorView half_in = in, half_out = out;
    half_in.shape[1] = kInputs;
    half_out.shape[1] = kOutputs;
    const absl::Status status = backend.Linear({.x = half_in,
                                                .weight = {.data = weight.view().raw,
                                                           .dtype = dtype,
                                                           .rows = kOutputs,
                                                           .cols = kInputs,
                                                           .bias = b.data()},
                                                .out = half_out});
    EXPECT_TRUE(status.ok()) << status;
    return out.Read();
  };
  const std::vector<float> expected = run(Cpu()), actual = run(cuda());
  for (int64_t i = 0; i < static_cast<int64_t>(actual.size()); ++i) {
    if (i % (2 * kOutputs) < kOutputs) {
      EXPECT_EQ(actual[i], expected[i]) << i;
    } else {
      EXPECT_TRUE(std::isnan(actual[i])) << i;  // still poison
    }
  }
}

TEST_P(DenseOps, LinearRoundsItsResultOnce) {
  constexpr int64_t kRows = 6, kInputs = 512, kOutputs = 256;
  const std::vector<float> x = Random(kRows * kInputs, 10), w = Random(kOutputs * kInputs, 11);
  const auto run = [&](Backend& backend) {
    const DType dtype = backend.activation_dtype();
    const TestTensor in(backend, dtype, {kRows, kInputs}, x);
    const TestTensor weight(backend, dtype, {kOutputs, kInputs}, w);
    const TestTensor out(backend, dtype, {kRows, kOutputs});
    EXPECT_TRUE(backend
                    .Linear({.x = in,
                             .weight = {.data = weight.view().raw,
                                        .dtype = dtype,
                                        .rows = kOutputs,
                                        .cols = kInputs},
                             .out = out})
                    .ok());
    return out.Read();
  };
  EXPECT_TRUE(Near(run(cuda()), run(Cpu()), OneRounding(compute(), 1e-4)));
}

TEST_P(DenseOps, RopeTableIsExactFarOut) {
  const std::vector<int64_t> far = {0, 1, 17, 999'999, int64_t{1} << 40};
  for (const int64_t half : {1, 16, 32, 48}) {
    const auto run = [&](Backend& backend) {
      const TestArray<int64_t> positions(backend, far);
      const TestTensor out(backend, DType::kF32, {5, 2, half});
      EXPECT_TRUE(
          backend.RopeTable({.positions = positions.data(), .theta = 10000, .cos_sin = out}).ok());
      return out.Read();
    };
    // At 2^40 an error of one unit in the last place of the frequency is an angle of 2^-12.
    EXPECT_TRUE(Near(run(cuda()), run(Cpu()), {.absolute = 5e-4})) << half;
  }
}

TEST_P(DenseOps, Rope) {
  for (const int64_t dim : {2, 6, 64, 128}) {
    const std::vector<float> angles = winnow::testing::RandomFloats(7 * dim, 12);
    const std::vector<float> values = Random(7 * 3 * dim, 13);
    const auto run = [&](Backend& backend) {
      const TestTensor cos_sin(backend, DType::kF32, {7, 2, dim / 2}, angles);
      const TestTensor x(backend, backend.activation_dtype(), {7, 3, dim}, values);
      EXPECT_TRUE(backend.Rope({.cos_sin = cos_sin, .x = x}).ok());
      return x.Read();
    };
    EXPECT_TRUE(Near(run(cuda()), run(Cpu()), OneRounding(compute()))) << dim;
  }
}

TEST_P(DenseOps, Gates) {
  for (const int64_t size : {1, 30, 97, 256, 5632}) {
    const std::vector<float> g = Random(6 * size, 14, -9, 9), u = Random(6 * size, 15);
    const auto swiglu = [&](Backend& backend) {
      const DType dtype = backend.activation_dtype();
      const TestTensor gate(backend, dtype, {6, size}, g), up(backend, dtype, {6, size}, u);
      EXPECT_TRUE(backend.SwiGlu({.gate = gate, .up = up, .out = gate}).ok());
      return gate.Read();
    };
    EXPECT_TRUE(Near(swiglu(cuda()), swiglu(Cpu()), OneRounding(compute()))) << size;
    const auto silu = [&](Backend& backend) {
      const TestTensor x(backend, backend.activation_dtype(), {6, size}, g);
      EXPECT_TRUE(backend.Silu({.x = x}).ok());
      return x.Read();
    };
    EXPECT_TRUE(Near(silu(cuda()), silu(Cpu()), OneRounding(compute()))) << size;
  }
}

TEST_P(DenseOps, GatedRmsNorm) {
  for (const int64_t dim : {1, 5, 32, 100, 256, 512}) {
    for (const bool with_gate : {false, true}) {
      const std::vector<float> values = Random(4 * 3 * dim, 16, -2, 2);
      const std::vector<float> gates = Random(4 * 3 * dim, 17, -4, 4);
      const std::vector<float> weight = winnow::testing::RandomFloats(dim, 18, 0.5, 2);
      const auto run = [&](Backend& backend) {
        const DType dtype = backend.activation_dtype();
        const TestTensor o(backend, dtype, {4, 3, dim}, values),
            gate(backend, dtype, {4, 3, dim}, gates);
        const TestArray<float> w(backend, weight);
        EXPECT_TRUE(backend
                        .GatedRmsNorm({.o = o,
                                       .weight = w.data(),
                                       .eps = 1e-5f,
                                       .gate = with_gate ? gate.view() : TensorView()})
                        .ok());
        return o.Read();
      };
      EXPECT_TRUE(Near(run(cuda()), run(Cpu()), OneRounding(compute()))) << dim;
    }
  }
}

TEST_P(DenseOps, GatherRows) {
  for (const int64_t size : {1, 6, 97, 2048}) {
    const std::vector<float> values = Random(9 * size, 19);
    const std::vector<int32_t> indices = {8, 0, 3, 3};
    const auto run = [&](Backend& backend) {
      const DType dtype = backend.activation_dtype();
      const TestTensor x(backend, dtype, {9, size}, values), out(backend, dtype, {4, size});
      const TestArray<int32_t> rows(backend, indices);
      EXPECT_TRUE(backend.GatherRows({.x = x, .rows = rows.data(), .out = out}).ok());
      return out.Read();
    };
    EXPECT_TRUE(Identical(run(cuda()), run(Cpu()))) << size;
  }
}

TEST_P(DenseOps, NoRowsAreNoWork) {
  const TestTensor x(cuda(), DType::kF32, {0, 8}), out(cuda(), compute(), {0, 8});
  const TestArray<float> weight(cuda(), std::vector<float>(8, 1.0f));
  EXPECT_TRUE(cuda().RmsNorm({.x = x, .delta = {}, .weight = weight.data(), .out = out}).ok());
  EXPECT_TRUE(cuda().SwiGlu({.gate = out, .up = out, .out = out}).ok());
  EXPECT_TRUE(cuda().Synchronize().ok());
}

}  // namespace
}  // namespace winnow::cuda
