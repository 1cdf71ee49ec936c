// The short convolution and the gated delta rule, with rings and with S in bf16 too, on CUDA
// against the CPU's: ragged steps of sequences that are cut at random, odd shapes, poisoned
// outputs, states compared at the end.
#include <bit>
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

// How S is kept from step to step.
struct DeltaKept {
  DType dtype = DType::kF32;
  int64_t ring_length = 0;  // 0: no ring
};

// S and a ring, in the slots.
class DeltaSlots {
 public:
  DeltaSlots(Backend& backend, const DeltaShape& s, const DeltaKept& kept)
      : backend_(backend),
        kept_(kept),
        state_size_(s.value_heads * s.key_dim * s.value_dim),
        values_(kept.dtype == DType::kF32 ? state_size_ : (state_size_ + 1) / 2),
        decays_(values_ + kept.ring_length * s.value_heads * s.value_dim),
        keys_(decays_ + (kept.ring_length * s.value_heads + 3) / 4 * 4),
        field_(backend, kSlots, keys_ + kept.ring_length * s.key_heads * s.key_dim),
        slot_counts_(backend, std::vector<int32_t>(kSlots + 1, 0)),
        counts_(backend, std::vector<int32_t>(kSlots, -1)) {}

  // One step; `args` but for the state.
  void Step(GatedDeltaArgs args) {
    args.state = At(0);
    args.state_dtype = kept_.dtype;
    if (kept_.ring_length == 0) {
      EXPECT_TRUE(backend_.GatedDelta(args).ok());
      return;
    }
    const SlotField count = {.base = slot_counts_.bytes(), .slot_stride_bytes = sizeof(int32_t)};
    EXPECT_TRUE(backend_
                    .GatherCounts(
                        {.batch = args.batch, .fields = {count}, .count = 1, .out = counts_.data()})
                    .ok());
    args.ring = DeltaRing{.length = kept_.ring_length,
                          .counts = counts_.data(),
                          .values = At(values_),
                          .decays = At(decays_),
                          .keys = At(keys_)};
    EXPECT_TRUE(backend_.GatedDelta(args).ok());
    EXPECT_TRUE(
        backend_.AdvanceRing({.batch = args.batch, .length = kept_.ring_length, .count = count})
            .ok());
  }

  // S, as floats.
  std::vector<float> State(int64_t slot) const {
    const std::vector<float> all = field_.Read(slot);
    std::vector<float> state(all.begin(), all.begin() + state_size_ * (values_ == state_size_));
    for (int64_t i = 0; i < state_size_ && kept_.dtype == DType::kBF16; ++i) {
      const uint32_t pair = std::bit_cast<uint32_t>(all[i / 2]);
      state.push_back(ToFloat(BF16{static_cast<uint16_t>(pair >> (i % 2 * 16))}));
    }
    return state;
  }

 private:
  SlotField At(int64_t offset) const {
    SlotField field = field_.view();
    field.base += offset * static_cast<int64_t>(sizeof(float));
    return field;
  }

  Backend& backend_;
  const DeltaKept kept_;
  // Where the ring's fields begin behind S, in floats.
  const int64_t state_size_, values_, decays_, keys_;
  const TestField field_;
  const TestArray<int32_t> slot_counts_, counts_;
};

// Random steps, then one of two rows of every sequence, which leave nothing in a ring.
std::vector<std::vector<StepPart>> DeltaSteps() {
  std::vector<std::vector<StepPart>> steps = RandomSteps(kTotals, 100, 7);
  steps.emplace_back();
  for (size_t i = 0; i < kTotals.size(); ++i) {
    steps.back().push_back(
        {.slot = static_cast<int32_t>(i + 1), .position = kTotals[i], .rows = 2});
  }
  return steps;
}

DeltaRun RunDelta(Backend& backend, DType inputs, const DeltaShape& s, float beta_scale,
                  const DeltaKept& kept = {}) {
  DeltaSlots slots(backend, s, kept);
  const TestArray<float> a_log(backend, RandomFloats(s.value_heads, 4, -3, 2));
  const TestArray<float> dt_bias(backend, RandomFloats(s.value_heads, 5, -4, 1));
  const DType dtype = backend.activation_dtype();
  DeltaRun run;
  uint64_t seed = 6;
  for (const auto& parts : DeltaSteps()) {
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
    slots.Step({.batch = batch.view(),
                .q = q,
                .k = k,
                .v = v,
                .a = a,
                .b = b,
                .a_log = a_log.data(),
                .dt_bias = dt_bias.data(),
                .beta_scale = beta_scale,
                .state = {},
                .out = out});
    run.outs.push_back(out.Read());
  }
  for (int64_t slot = 0; slot <= kSlots; ++slot) run.states.push_back(slots.State(slot));
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

TEST_P(GatedDeltaOps, GatedDeltaWithARing) {
  for (const DeltaShape& shape :
       {DeltaShape{2, 4, 64, 64}, DeltaShape{1, 1, 128, 136}, DeltaShape{1, 2, 256, 256}}) {
    const DeltaRun expected = RunDelta(Cpu(), compute(), shape, 2);
    for (const int64_t length : {2, 5, 32}) {
      SCOPED_TRACE(::testing::Message()
                   << shape.key_dim << " x " << shape.value_dim << ", ring of " << length);
      const bool in_chunks = RunsInChunks(compute(), shape);
      const DeltaRun actual = RunDelta(cuda(), compute(), shape, 2, {.ring_length = length});
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

// Over all steps: where a sequence has just forgotten nearly all, little is left beside roundings.
// The bound is that of rounding S after each of 150 rows in float64 (1.2e-2), with some room.
TEST_P(GatedDeltaOps, GatedDeltaWithBF16State) {
  for (const DeltaShape& shape : {DeltaShape{1, 2, 50, 33}, DeltaShape{2, 4, 16, 24},
                                  DeltaShape{2, 2, 64, 64}, DeltaShape{1, 2, 256, 256}}) {
    SCOPED_TRACE(::testing::Message() << shape.key_dim << " x " << shape.value_dim);
    const DeltaRun expected = RunDelta(Cpu(), compute(), shape, 1);
    const DeltaRun actual = RunDelta(cuda(), compute(), shape, 1, {.dtype = DType::kBF16});
    std::vector<float> all_expected, all_actual;
    for (size_t step = 0; step < expected.outs.size(); ++step) {
      const auto& x = actual.outs[step];
      const auto& y = expected.outs[step];
      all_actual.insert(all_actual.end(), x.begin(), x.end());
      all_expected.insert(all_expected.end(), y.begin(), y.end());
    }
    EXPECT_LE(RelativeError(all_actual, all_expected), 2e-2);
    for (int64_t slot = 1; slot <= kSlots; ++slot) {
      EXPECT_LE(RelativeError(actual.states[slot], expected.states[slot]), 2e-2) << slot;
    }
  }
}

TEST_P(GatedDeltaOps, SaysWhichStatesItKeeps) {
  EXPECT_TRUE(cuda().CheckDeltaState({.key_dim = 50, .value_dim = 33}).ok());
  EXPECT_TRUE(cuda().CheckDeltaState({.dtype = DType::kBF16, .key_dim = 50, .value_dim = 33}).ok());
  EXPECT_TRUE(cuda().CheckDeltaState({.ring_length = 16, .key_dim = 192, .value_dim = 8}).ok());
  for (const DeltaStateFormat& format :
       {DeltaStateFormat{.dtype = DType::kF16, .key_dim = 64, .value_dim = 64},
        DeltaStateFormat{.dtype = DType::kBF16, .ring_length = 4, .key_dim = 64, .value_dim = 64},
        DeltaStateFormat{.ring_length = 4, .key_dim = 32, .value_dim = 64},
        DeltaStateFormat{.ring_length = 4, .key_dim = 320, .value_dim = 64},
        DeltaStateFormat{.ring_length = 4, .key_dim = 64, .value_dim = 62}}) {
    EXPECT_EQ(cuda().CheckDeltaState(format).code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace winnow::cuda
