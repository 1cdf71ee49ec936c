// The flags for experiments, on the demo model: what heads keep then, and that they change nothing
// unless given.
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/demo_server.h"

namespace winnow {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::Gt;
using ::testing::Le;
using ::testing::SizeIs;

constexpr int kBuffer = 12;

nlohmann::json Sample() {
  std::ifstream file("tests/data/demo_samples.json");
  return nlohmann::json::parse(file)[0];
}

// Answers the sample, with the tokens that its layers keep.
Outcome Answer(const Options& options, const nlohmann::json& sample) {
  DemoServer server(options);
  Client client(server.address());
  const size_t num_tokens = sample["greedy_tokens"].size();
  v1::GenerateRequest request =
      TextRequest(sample["prompt"].get<std::string>(), static_cast<uint32_t>(num_tokens));
  request.mutable_stop()->set_ignore_eos(true);
  request.mutable_output()->set_token_ids(true);
  request.mutable_output()->set_state_usage(true);
  return client.Generate(request);
}

// Of all heads of all layers.
std::vector<uint32_t> Kept(const Outcome& outcome) {
  const v1::Finish finish = outcome.Finish();
  std::vector<uint32_t> kept;
  for (const v1::LayerKept& layer : finish.kept()) {
    kept.insert(kept.end(), layer.kept_tokens().begin(), layer.kept_tokens().end());
  }
  EXPECT_THAT(kept, SizeIs(12));
  return kept;
}

TEST(ExperimentsTest, TheCheckpointsOwnBufferChangesNothing) {
  const nlohmann::json sample = Sample();
  Options options = DemoOptions();
  options.experiment_buffer_size = 128;
  const Outcome outcome = Answer(options, sample);
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_THAT(outcome.TokenIds(),
              ElementsAreArray(sample["greedy_tokens"].get<std::vector<uint32_t>>()));
  EXPECT_EQ(Kept(outcome), Kept(Answer(DemoOptions(), sample)));
}

TEST(ExperimentsTest, WindowAloneKeepsNothing) {
  Options options = DemoOptions();
  options.experiment_buffer_size = 0;
  const Outcome outcome = Answer(options, Sample());
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_THAT(Kept(outcome), Each(0));
}

TEST(ExperimentsTest, ASmallBufferHoldsTheBest) {
  Options options = DemoOptions();
  options.experiment_buffer_size = kBuffer;
  const Outcome outcome = Answer(options, Sample());
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  const std::vector<uint32_t> kept = Kept(outcome);
  EXPECT_THAT(kept, Each(Le(kBuffer)));
  EXPECT_THAT(kept, Contains(kBuffer));
  EXPECT_THAT(Kept(Answer(DemoOptions(), Sample())), Contains(Gt(kBuffer)));
}

TEST(ExperimentsTest, RetentionByPositionFillsEveryBuffer) {
  for (const char* retention : {"recency", "random"}) {
    Options options = DemoOptions();
    options.experiment_buffer_size = kBuffer;
    options.experiment_retention = retention;
    const Outcome outcome = Answer(options, Sample());
    ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
    EXPECT_THAT(Kept(outcome), Each(kBuffer)) << retention;
  }
}

}  // namespace
}  // namespace winnow
