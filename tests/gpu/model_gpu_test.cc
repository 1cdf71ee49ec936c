// Whole models on CUDA behind the real engine: the float64 reference on random checkpoints, the
// demo model's recorded answers, and what neighbours and cuts of the prompt change.
#include <cmath>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/testing/backends.h"
#include "nlohmann/json.hpp"
#include "tests/model/reference_comparison.h"
#include "tests/model/served_checkpoint.h"

namespace winnow {
namespace {

class ReferenceGpuTest : public ::testing::TestWithParam<ReferenceCase> {};

TEST_P(ReferenceGpuTest, ServedModelEqualsReferenceInFloat32) {
  ExpectEqualsReference(GetParam(), {.backend = &cuda::CudaFor(DType::kF32),
                                     .pieces = {1, 7, 64, 256},
                                     .page_tokens = {5, 16},
                                     .bound = 2e-4});
}

INSTANTIATE_TEST_SUITE_P(Shapes, ReferenceGpuTest, ::testing::ValuesIn(ReferenceCases()),
                         [](const auto& info) { return info.param.name; });

struct Sample {
  std::vector<uint32_t> prompt, answer;
};

std::vector<Sample> Samples() {
  std::ifstream file("tests/data/demo_samples.json");
  std::vector<Sample> samples;
  for (const nlohmann::json& entry : nlohmann::json::parse(file)) {
    samples.push_back({entry["tokens"], entry["greedy_tokens"]});
  }
  return samples;
}

RequestSpec Ask(const Sample& sample) {
  RequestSpec spec;
  spec.id = "sample";
  spec.prompt = sample.prompt;
  spec.sampling.temperature = 0;
  spec.max_tokens = static_cast<int64_t>(sample.answer.size());
  return spec;
}

class DemoGpuTest : public ::testing::TestWithParam<DType> {};

INSTANTIATE_TEST_SUITE_P(Compute, DemoGpuTest, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return DTypeName(info.param); });

TEST_P(DemoGpuTest, AnswersAsRecordedAloneAndTogether) {
  const std::vector<Sample> samples = Samples();
  ASSERT_GE(samples.size(), 10u);
  auto served = ServedCheckpoint::Load(
      "deploy/demo-model",
      {.backend = &cuda::CudaFor(GetParam()), .num_slots = static_cast<int64_t>(samples.size())});
  std::vector<RequestSpec> specs;
  for (const Sample& sample : samples) specs.push_back(Ask(sample));
  const std::vector<Answer> together = served->AskAll(specs);
  for (size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(together[i].token_ids(), samples[i].answer) << i;
    EXPECT_EQ(served->Ask(specs[i]).token_ids(), samples[i].answer) << i;
  }
}

// How far the log-probabilities of one text may differ between batches and cuts of it: the
// products' sums are taken in orders that depend on the number of rows.
double Bound(DType compute) { return compute == DType::kF32 ? 1e-3 : 0.25; }

RequestSpec Probe(int64_t vocab) {
  std::mt19937 random(77);
  RequestSpec spec;
  spec.id = "probe";
  for (int i = 0; i < 500; ++i) {
    spec.prompt.push_back(static_cast<uint32_t>(3 + random() % (vocab - 3)));
  }
  spec.sampling.temperature = 0;
  spec.max_tokens = 1;
  spec.prompt_logprobs = 0;
  return spec;
}

double WorstDifference(const Answer& a, const Answer& b) {
  EXPECT_EQ(a.prompt_logprobs.size(), b.prompt_logprobs.size());
  double worst = 0;
  for (size_t i = 0; i < a.prompt_logprobs.size(); ++i) {
    worst = std::max(worst,
                     std::abs(double{a.prompt_logprobs[i].logprob} - b.prompt_logprobs[i].logprob));
  }
  return worst;
}

TEST_P(DemoGpuTest, NeighboursAndCutsChangeLittle) {
  Answer alone;
  for (const int piece : {64, 256, 7}) {
    auto served =
        ServedCheckpoint::Load("deploy/demo-model", {.backend = &cuda::CudaFor(GetParam()),
                                                     .num_slots = 9,
                                                     .max_step_tokens = 300,
                                                     .prompt_piece = piece});
    const RequestSpec probe = Probe(served->config().vocab_size);
    if (piece == 64) alone = served->Ask(probe);
    ASSERT_EQ(alone.prompt_logprobs.size(), 499u);
    const Answer again = served->AskAll(std::vector<RequestSpec>(9, probe)).back();
    const double worst = WorstDifference(again, alone);
    std::printf("  %s, pieces of %d, 8 neighbours: worst difference %.2g\n", DTypeName(GetParam()),
                piece, worst);
    EXPECT_LE(worst, Bound(GetParam()));
  }
}

}  // namespace
}  // namespace winnow
