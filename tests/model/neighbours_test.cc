// What is in the step beside a request changes nothing: its tokens and log-probabilities are
// bit-identical alone and among 31 others that come and go. Choices forked from one prompt are
// those of separate requests with their seeds. Different piece sizes agree to rounding. A long
// prompt holds the same slot and a bounded number of pages.
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/philox.h"
#include "tests/model/served_checkpoint.h"

namespace winnow {
namespace {

constexpr int kNeighbours = 31;

std::vector<uint32_t> RandomTokens(std::mt19937& random, int64_t count, int64_t vocab) {
  std::vector<uint32_t> tokens(count);
  for (uint32_t& token : tokens) token = static_cast<uint32_t>(3 + random() % (vocab - 3));
  return tokens;
}

RequestSpec Probe(const ModelConfig& config, int64_t prompt_tokens, float temperature) {
  std::mt19937 random(77);
  RequestSpec spec;
  spec.id = "probe";
  spec.prompt = RandomTokens(random, prompt_tokens, config.vocab_size);
  spec.sampling = {.temperature = temperature, .top_k = 50, .top_p = 0.95f, .seed = 1234};
  spec.max_tokens = 40;
  spec.logprobs = 5;
  spec.prompt_logprobs = 3;
  return spec;
}

void ExpectSameBits(const std::vector<OutputToken>& a, const std::vector<OutputToken>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].token, b[i].token) << i;
    EXPECT_EQ(a[i].logprob, b[i].logprob) << i;
    EXPECT_EQ(a[i].rank, b[i].rank) << i;
    ASSERT_EQ(a[i].top.size(), b[i].top.size()) << i;
    for (size_t j = 0; j < a[i].top.size(); ++j) {
      EXPECT_EQ(a[i].top[j].token, b[i].top[j].token) << i;
      EXPECT_EQ(a[i].top[j].logprob, b[i].top[j].logprob) << i;
    }
  }
}

class NeighboursTest : public testing::TestWithParam<std::string> {};

TEST_P(NeighboursTest, ChangeNothing) {
  const ServedOptions options{.page_tokens = 8,
                              .num_slots = 33,
                              .max_sequence_tokens = 1200,
                              .max_step_tokens = 300,
                              .prompt_piece = 64};
  auto served = ServedCheckpoint::Load(GetParam(), options);
  for (const float temperature : {0.0f, 0.9f}) {
    const RequestSpec probe = Probe(served->config(), 500, temperature);
    const Answer alone = served->Ask(probe);
    ASSERT_EQ(alone.prompt_logprobs.size(), 499u);

    // Half of the neighbours are under way when the probe comes, the others come while it runs;
    // their lengths all differ.
    std::mt19937 random(5);
    std::vector<std::future<Answer>> others;
    const auto add_neighbour = [&] {
      RequestSpec spec;
      spec.id = absl::StrCat("neighbour ", others.size());
      spec.prompt = RandomTokens(random, 1 + random() % 700, served->config().vocab_size);
      spec.sampling.seed = random();
      spec.max_tokens = random() % 60;
      others.push_back(served->Submit(std::move(spec)));
    };
    while (others.size() < kNeighbours / 2) add_neighbour();
    others.front().wait();
    std::future<Answer> crowded = served->Submit(probe);
    while (others.size() < kNeighbours) add_neighbour();
    const Answer among = crowded.get();
    for (auto& other : others) EXPECT_EQ(other.get().finish.reason, FinishReason::kLength);

    ExpectSameBits(alone.prompt_logprobs, among.prompt_logprobs);
    ExpectSameBits(alone.tokens, among.tokens);
    EXPECT_EQ(alone.finish.kept_counts, among.finish.kept_counts);
  }
}

TEST_P(NeighboursTest, ChoicesAreSeparateRequestsWithTheirSeeds) {
  auto served = ServedCheckpoint::Load(
      GetParam(),
      {.page_tokens = 8, .num_slots = 8, .max_sequence_tokens = 600, .prompt_piece = 64});
  RequestSpec spec = Probe(served->config(), 500, 1.5f);
  spec.prompt_logprobs.reset();
  spec.sampling.top_p = 1;
  spec.sampling.frequency_penalty = 0.5f;
  spec.num_choices = 8;
  const std::vector<Answer> choices = served->AskChoices(spec);
  ASSERT_EQ(choices.size(), 8u);
  EXPECT_NE(choices[0].token_ids(), choices[1].token_ids());
  spec.num_choices = 1;
  for (uint32_t c = 0; c < 8; ++c) {
    spec.sampling.seed = DeriveSeed(1234, c);
    const Answer alone = served->Ask(spec);
    ExpectSameBits(choices[c].tokens, alone.tokens);
    EXPECT_EQ(choices[c].finish.kept_counts, alone.finish.kept_counts);
  }
}

// A fork takes its ring along, wherever in it the other is.
TEST(StateRingTest, ChoicesAndNeighboursChangeNothing) {
  auto served = ServedCheckpoint::Load(
      "deploy/demo-model", {.page_tokens = 8, .num_slots = 8, .prompt_piece = 64, .state_ring = 5});
  RequestSpec spec = Probe(served->config(), 100, 1.5f);
  spec.num_choices = 4;
  const std::vector<Answer> choices = served->AskChoices(spec);
  spec.num_choices = 1;
  std::vector<RequestSpec> specs;
  for (uint32_t c = 0; c < 4; ++c) {
    spec.sampling.seed = DeriveSeed(1234, c);
    specs.push_back(spec);
    // Where they are in their rings differs by what has been asked of them.
    specs.push_back(spec);
    specs.back().prompt.resize(90 + c);
  }
  const std::vector<Answer> together = served->AskAll(specs);
  for (uint32_t c = 0; c < 4; ++c) {
    ExpectSameBits(choices[c].tokens, served->Ask(specs[2 * c]).tokens);
    ExpectSameBits(choices[c].tokens, together[2 * c].tokens);
  }
}

TEST_P(NeighboursTest, ThreadsAndStepBudgetChangeNothing) {
  ServedOptions options{
      .num_slots = 2, .max_sequence_tokens = 600, .max_step_tokens = 512, .prompt_piece = 64};
  auto served = ServedCheckpoint::Load(GetParam(), options);
  const RequestSpec probe = Probe(served->config(), 300, 0.9f);
  const Answer expected = served->Ask(probe);
  for (const int threads : {1, 3}) {
    options.threads = threads;
    options.max_step_tokens = 64 + threads;
    const Answer answer = ServedCheckpoint::Load(GetParam(), options)->Ask(probe);
    ExpectSameBits(expected.prompt_logprobs, answer.prompt_logprobs);
    ExpectSameBits(expected.tokens, answer.tokens);
  }
}

TEST_P(NeighboursTest, PieceSizesAgree) {
  ServedOptions options{.num_slots = 2, .max_sequence_tokens = 600, .max_step_tokens = 512};
  std::vector<OutputToken> expected;
  for (const int piece : {512, 256, 100, 64, 17, 1}) {
    options.prompt_piece = piece;
    auto served = ServedCheckpoint::Load(GetParam(), options);
    const Answer answer = served->Ask(Probe(served->config(), 300, 0));
    if (expected.empty()) expected = answer.prompt_logprobs;
    ASSERT_EQ(answer.prompt_logprobs.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(answer.prompt_logprobs[i].logprob, expected[i].logprob, 1e-4)
          << "piece " << piece << ", position " << i + 1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, NeighboursTest,
                         testing::Values("deploy/demo-model", "tests/golden/gdn",
                                         "tests/golden/swa", "tests/golden/attn",
                                         "tests/golden/lte"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

TEST(ConstantMemoryTest, LongPromptsHoldOneSlotAndBoundedPages) {
  auto served = ServedCheckpoint::Load("deploy/demo-model", {.num_slots = 2});
  const int64_t bound = *served->spec().MaxPages();
  std::mt19937 random(9);
  for (const int64_t length : {2000, 10000}) {
    RequestSpec spec;
    spec.id = "long";
    spec.prompt = RandomTokens(random, length, served->config().vocab_size);
    spec.max_tokens = 4;
    auto future = served->Submit(std::move(spec));
    int64_t most_pages = 0;
    while (future.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      const LoadStats load = served->engine().Stats().load;
      EXPECT_LE(load.slots_used, 1);
      EXPECT_LE(load.pages_reserved, bound);
      most_pages = std::max(most_pages, load.pages_used);
    }
    EXPECT_EQ(future.get().tokens.size(), 4u);
    EXPECT_GT(most_pages, 0);
    EXPECT_LE(most_pages, bound);
  }
}

}  // namespace
}  // namespace winnow
