// RouterScores on CUDA against the CPU's: ragged steps of sequences that are cut at random, and
// steps of single tokens of few and of many sequences, which must not depend on each other.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
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

constexpr winnow::testing::Tolerance kTolerance = {.relative = 1e-4, .absolute = 1e-5};

struct ConvShape {
  int64_t out, size, dilation;
};

struct RouterShape {
  int64_t heads, dim;
  bool shared;  // by all heads
  RoutingMethod method;
  std::vector<ConvShape> convs;
};

// Router weights in a backend's memory.
class TestRouter {
 public:
  TestRouter(Backend& backend, const RouterShape& shape) {
    const int64_t groups = shape.shared ? 1 : shape.heads;
    weights_.groups = groups;
    weights_.method = shape.method;
    const auto array = [&](int64_t size, float most) {
      arrays_.push_back(std::make_unique<TestArray<float>>(
          backend, RandomFloats(size, 30 + arrays_.size(), -most, most)));
      return arrays_.back()->data();
    };
    int64_t in = 2 * shape.dim;
    for (const ConvShape& c : shape.convs) {
      RouterConv conv = {.in = in, .out = c.out, .size = c.size, .dilation = c.dilation};
      conv.weight = array(groups * c.size * in * c.out, 0.3f);
      conv.bias = array(groups * c.out, 0.3f);
      weights_.convs.push_back(conv);
      in = c.out;
    }
    weights_.proj_weight = array(groups * in, 1);
    weights_.proj_bias = array(groups, 0.1f);
  }
  const RouterWeights& view() const { return weights_; }

 private:
  std::vector<std::unique_ptr<TestArray<float>>> arrays_;
  RouterWeights weights_;
};

// A router and its histories, which steps move on.
class RouterRun {
 public:
  RouterRun(Backend& backend, const RouterShape& shape, int64_t num_slots)
      : backend_(backend), shape_(shape), router_(backend, shape) {
    for (const RouterConv& conv : router_.view().convs) {
      histories_.push_back(
          std::make_unique<TestField>(backend, num_slots, conv.history() * shape.heads * conv.in));
      fields_.push_back(histories_.back()->view());
    }
  }

  // Scores [T, heads] for k and v [T, heads, dim].
  std::vector<float> Step(const std::vector<StepPart>& parts, const std::vector<float>& k_values,
                          const std::vector<float>& v_values) {
    const TestBatch batch(backend_, parts);
    const int64_t t = batch.view().num_tokens, heads = shape_.heads;
    const DType dtype = backend_.activation_dtype();
    const TestTensor k(backend_, dtype, {t, heads, shape_.dim}, k_values);
    const TestTensor v(backend_, dtype, {t, heads, shape_.dim}, v_values);
    const TestTensor scores(backend_, DType::kF32, {t, heads});
    EXPECT_TRUE(backend_
                    .RouterScores({.batch = batch.view(),
                                   .k = k,
                                   .v = v,
                                   .weights = &router_.view(),
                                   .history = fields_,
                                   .scores = scores})
                    .ok());
    return scores.Read();
  }

  // Of all convolutions.
  std::vector<float> Histories(int64_t slot) const {
    std::vector<float> all;
    for (const auto& history : histories_) {
      const std::vector<float> one = history->Read(slot);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }

 private:
  Backend& backend_;
  const RouterShape shape_;
  TestRouter router_;
  std::vector<std::unique_ptr<TestField>> histories_;
  std::vector<SlotField> fields_;
};

// What a run gave: scores by step or by sequence, histories of some slots.
struct RouterResult {
  std::vector<std::vector<float>> scores, histories;
};

void ExpectNear(const RouterResult& actual, const RouterResult& expected) {
  ASSERT_EQ(actual.scores.size(), expected.scores.size());
  for (size_t i = 0; i < expected.scores.size(); ++i) {
    EXPECT_TRUE(Near(actual.scores[i], expected.scores[i], kTolerance)) << "scores " << i;
  }
  for (size_t i = 0; i < expected.histories.size(); ++i) {
    EXPECT_TRUE(Near(actual.histories[i], expected.histories[i], kTolerance)) << "history " << i;
  }
}

// Steps of up to `most` rows of a sequence.
RouterResult RunCuts(Backend& backend, DType inputs, int64_t most, const RouterShape& shape) {
  const std::vector<int64_t> totals = {3, 160, 61, 1};
  RouterRun run(backend, shape, 4);
  RouterResult result;
  uint64_t seed = 50;
  for (const auto& parts : RandomSteps(totals, most, 3)) {
    int64_t rows = 0;
    for (const StepPart& part : parts) rows += part.rows;
    const int64_t size = rows * shape.heads * shape.dim;
    const std::vector<float> k = RandomFor(inputs, size, seed++);
    result.scores.push_back(run.Step(parts, k, RandomFor(inputs, size, seed++)));
  }
  for (int64_t slot = 1; slot <= 4; ++slot) result.histories.push_back(run.Histories(slot));
  return result;
}

// Twelve steps of single tokens. Sequence i, in slot i + 1, joins at step i % 5, and its keys and
// values are the same whatever the others. Scores by sequence; histories of the first, a middle and
// the last one.
RouterResult RunSingles(Backend& backend, DType inputs, const RouterShape& shape,
                        std::vector<int32_t> sequences) {
  const int64_t row_size = shape.heads * shape.dim;
  RouterRun run(backend, shape, *std::max_element(sequences.begin(), sequences.end()) + 1);
  RouterResult result;
  result.scores.resize(sequences.size());
  for (int64_t step = 0; step < 12; ++step) {
    std::vector<StepPart> parts;
    std::vector<size_t> places;
    std::vector<float> k, v;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const int32_t s = sequences[i];
      if (step < s % 5) continue;
      parts.push_back({.slot = s + 1, .position = step - s % 5});
      places.push_back(i);
      const uint64_t seed = 1000 * s + 2 * step;
      for (auto [to, from] : {std::pair(&k, RandomFor(inputs, row_size, seed)),
                              std::pair(&v, RandomFor(inputs, row_size, seed + 1))}) {
        to->insert(to->end(), from.begin(), from.end());
      }
    }
    if (parts.empty()) continue;
    const std::vector<float> scores = run.Step(parts, k, v);
    for (size_t i = 0; i < places.size(); ++i) {
      const auto begin = scores.begin() + static_cast<int64_t>(i) * shape.heads;
      std::vector<float>& to = result.scores[places[i]];
      to.insert(to.end(), begin, begin + shape.heads);
    }
  }
  for (const int32_t s : {sequences.front(), sequences[sequences.size() / 2], sequences.back()}) {
    result.histories.push_back(run.Histories(s + 1));
  }
  return result;
}

class RouterOps : public ::testing::TestWithParam<DType> {};

INSTANTIATE_TEST_SUITE_P(Compute, RouterOps, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return DTypeName(info.param); });

TEST_P(RouterOps, Cuts) {
  const std::vector<RouterShape> shapes = {
      {2, 64, false, RoutingMethod::kSigmoid, {{64, 3, 2}, {32, 3, 2}, {16, 3, 2}}},
      {3, 10, true, RoutingMethod::kRelu, {{10, 4, 1}, {5, 2, 3}}},
      {1, 3, false, RoutingMethod::kSigmoid, {{1, 1, 1}}},
      {2, 130, false, RoutingMethod::kSigmoid, {{100, 5, 9}}}};
  for (const RouterShape& shape : shapes) {
    for (const int64_t most : {1, 70}) {
      SCOPED_TRACE(::testing::Message() << "dim " << shape.dim << ", rows " << most);
      ExpectNear(RunCuts(CudaFor(GetParam()), GetParam(), most, shape),
                 RunCuts(Cpu(), GetParam(), most, shape));
    }
  }
}

// Shapes of the models, of everything that router_step.cu tells apart (sizes of 1, outputs beyond a
// warp and no power of two, filters that leave room for one team only), and one that it leaves to
// router.cu.
TEST_P(RouterOps, SinglesTogetherAndAlone) {
  const std::vector<ConvShape> model = {{64, 3, 2}, {32, 3, 2}, {16, 3, 2}};
  const std::vector<RouterShape> shapes = {
      {8, 64, false, RoutingMethod::kSigmoid, model},
      {16, 64, true, RoutingMethod::kSigmoid, model},
      {3, 10, true, RoutingMethod::kRelu, {{20, 4, 1}, {12, 2, 3}}},
      {2, 6, false, RoutingMethod::kSigmoid, {{8, 1, 1}, {4, 3, 1}, {4, 1, 2}, {4, 5, 1}}},
      {2, 26, false, RoutingMethod::kRelu, {{260, 2, 2}}},
      {8, 32, true, RoutingMethod::kSigmoid, {{128, 6, 1}}},
      {3, 5, false, RoutingMethod::kSigmoid, {{7, 3, 2}, {3, 2, 1}}}};
  for (const RouterShape& shape : shapes) {
    RouterResult together;
    for (const int32_t batch : {1, 3, 64, 257}) {
      SCOPED_TRACE(::testing::Message() << "dim " << shape.dim << ", batch " << batch);
      std::vector<int32_t> sequences(batch);
      std::iota(sequences.begin(), sequences.end(), 0);
      together = RunSingles(CudaFor(GetParam()), GetParam(), shape, sequences);
      ExpectNear(together, RunSingles(Cpu(), GetParam(), shape, sequences));
    }
    for (const int32_t s : {0, 5, 128, 256}) {
      SCOPED_TRACE(::testing::Message() << "dim " << shape.dim << ", sequence " << s);
      const RouterResult alone = RunSingles(CudaFor(GetParam()), GetParam(), shape, {s});
      EXPECT_TRUE(Identical(together.scores[s], alone.scores[0]));
    }
  }
}

}  // namespace
}  // namespace winnow::cuda
