// The demo model over gRPC: recorded prompts are answered as recorded, alone and together, and
// neighbours change nothing.
#include <atomic>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/demo_server.h"

namespace winnow {
namespace {

using ::testing::ElementsAreArray;
using ::testing::SizeIs;

constexpr int kNeighbours = 31;

struct Sample {
  std::string prompt, text;
  std::vector<uint32_t> prompt_tokens, answer_tokens;
};

std::vector<Sample> Samples() {
  std::ifstream file("tests/data/demo_samples.json");
  std::vector<Sample> samples;
  for (const nlohmann::json& entry : nlohmann::json::parse(file)) {
    samples.push_back(
        {entry["prompt"], entry["greedy_text"], entry["tokens"], entry["greedy_tokens"]});
  }
  return samples;
}

v1::GenerateRequest Ask(const Sample& sample) {
  v1::GenerateRequest request =
      TextRequest(sample.prompt, static_cast<uint32_t>(sample.answer_tokens.size()));
  request.mutable_stop()->set_ignore_eos(true);
  request.mutable_output()->set_token_ids(true);
  return request;
}

void ExpectAsRecorded(const Sample& sample, const Outcome& outcome) {
  ASSERT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
  EXPECT_EQ(outcome.Prompt().num_prompt_tokens(), sample.prompt_tokens.size());
  EXPECT_THAT(outcome.TokenIds(), ElementsAreArray(sample.answer_tokens));
  EXPECT_EQ(outcome.Text(), sample.text);
}

TEST(DemoModelTest, PromptsAreTokenizedAsRecorded) {
  DemoServer server;
  Client client(server.address());
  const std::vector<Sample> samples = Samples();
  ASSERT_THAT(samples, SizeIs(testing::Ge(10)));
  for (const Sample& sample : samples) {
    v1::TokenizeRequest request;
    request.set_text(sample.prompt);
    v1::TokenizeResponse tokens;
    ASSERT_EQ(client.Tokenize(request, &tokens).code, absl::StatusCode::kOk);
    EXPECT_THAT(tokens.ids(), ElementsAreArray(sample.prompt_tokens));
  }
}

TEST(DemoModelTest, AnswersAsRecordedOneByOne) {
  DemoServer server;
  Client client(server.address());
  for (const Sample& sample : Samples()) ExpectAsRecorded(sample, client.Generate(Ask(sample)));
}

TEST(DemoModelTest, AnswersAsRecordedAllAtOnce) {
  DemoServer server;
  Client client(server.address());
  const std::vector<Sample> samples = Samples();
  std::vector<std::unique_ptr<Call>> calls;
  for (const Sample& sample : samples) calls.push_back(client.Start(Ask(sample)));
  for (size_t i = 0; i < samples.size(); ++i) ExpectAsRecorded(samples[i], calls[i]->Finish());
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

v1::GenerateRequest Probe(float temperature) {
  v1::GenerateRequest request = IdsRequest(SomePrompt(600, 7), 40);
  request.set_request_id("probe");
  request.mutable_sampling()->set_temperature(temperature);
  request.mutable_sampling()->set_seed(99);
  request.mutable_output()->set_logprobs(5);
  request.mutable_output()->set_prompt_logprobs(2);
  request.mutable_output()->set_state_usage(true);
  return request;
}

// All that the model computed, bit for bit; not the times, nor how tokens were divided into
// messages.
std::string Computed(const Outcome& outcome) {
  v1::GenerateResponse all;
  for (const auto& entry : outcome.PromptLogprobs()) {
    *all.mutable_prompt_logprobs()->add_logprobs() = entry;
  }
  std::string bytes = all.SerializeAsString();
  for (const auto& entry : outcome.Logprobs()) *all.mutable_delta()->add_logprobs() = entry;
  bytes += all.SerializeAsString();
  v1::Finish finish = outcome.Finish();
  finish.clear_timing();
  return absl::StrCat(bytes, finish.SerializeAsString(), outcome.Text());
}

// Asks for this and that until told to stop.
void Chatter(Client& client, uint64_t seed, const std::atomic<bool>& stop,
             std::atomic<int>* num_ended) {
  std::mt19937_64 random(seed);
  while (!stop) {
    v1::GenerateRequest request =
        IdsRequest(SomePrompt(1 + random() % 300, random()), static_cast<uint32_t>(random() % 30));
    request.mutable_sampling()->set_temperature(static_cast<float>(random() % 3) / 2);
    const Outcome outcome = client.Generate(request);
    EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome;
    ++*num_ended;
  }
}

TEST(DemoModelTest, NeighboursChangeNoBit) {
  DemoServer server;
  Client client(server.address());
  std::vector<Outcome> alone;
  for (const float temperature : {0.0f, 1.0f}) alone.push_back(client.Generate(Probe(temperature)));
  ASSERT_THAT(alone[0].PromptLogprobs(), SizeIs(599));
  ASSERT_THAT(alone[0].Logprobs(), SizeIs(40));

  std::atomic<bool> stop = false;
  std::atomic<int> num_ended = 0;
  std::vector<std::thread> neighbours;
  for (int i = 0; i < kNeighbours; ++i) {
    neighbours.emplace_back([&, i] { Chatter(client, i, stop, &num_ended); });
  }
  EXPECT_TRUE(WaitUntil([&] { return num_ended > 0; }));
  for (int i = 0; i < 2; ++i) {
    const Outcome crowded = client.Generate(Probe(static_cast<float>(i)));
    EXPECT_EQ(crowded.code, absl::StatusCode::kOk) << crowded.message;
    EXPECT_EQ(crowded.TokenIds(), alone[i].TokenIds());
    EXPECT_TRUE(Computed(crowded) == Computed(alone[i])) << "temperature " << i;
  }
  stop = true;
  for (std::thread& thread : neighbours) thread.join();
  EXPECT_GT(num_ended, kNeighbours) << "they came and went";
  EXPECT_TRUE(WaitUntil([&] { return IsIdle(client.GetLoad()); }));
}

}  // namespace
}  // namespace winnow
