// A step planned and launched while the one before it is in flight changes no answer: tokens,
// log-probabilities, endings and what was kept are bit-identical to those of steps one after the
// other, whatever a request asks for and wherever it ends.
#include <cctype>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/model/served_checkpoint.h"

namespace winnow {
namespace {

constexpr int kRequests = 60;

// Ends the text at a token that is a multiple of `divisor`, in place of a stop string.
class MultipleMatcher : public StopMatcher {
 public:
  explicit MultipleMatcher(uint32_t divisor) : divisor_(divisor) {}
  std::optional<std::string> Append(uint32_t token, bool may_stop) override {
    if (may_stop && token % divisor_ == 0) return absl::StrCat("multiple ", token);
    return std::nullopt;
  }

 private:
  const uint32_t divisor_;
};

// Every option, in every mixture.
RequestSpec RandomSpec(std::mt19937& random, uint32_t vocab) {
  const auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
  const auto upto = [&](float most) { return most * static_cast<float>(random() % 1000) / 1000; };
  const auto token = [&] { return static_cast<uint32_t>(3 + random() % (vocab - 3)); };
  RequestSpec spec;
  spec.prompt.resize(1 + random() % (chance(30) ? 200 : 30));
  for (uint32_t& id : spec.prompt) id = token();
  spec.max_tokens = static_cast<uint32_t>(random() % 50);
  if (chance(30)) spec.num_choices = 2 + random() % 3;
  spec.sampling = {.temperature = chance(30) ? 0 : 0.5f + upto(1), .seed = random()};
  if (chance(30)) spec.sampling.top_k = 1 + random() % 40;
  if (chance(30)) spec.sampling.top_p = 0.5f + upto(0.5f);
  if (chance(40)) spec.sampling.repetition_penalty = 1 + upto(1);
  if (chance(40)) spec.sampling.frequency_penalty = upto(2);
  if (chance(40)) spec.sampling.presence_penalty = upto(2);
  if (chance(30)) spec.logit_bias = {{.token = token(), .bias = upto(10)}};
  if (chance(30)) spec.min_tokens = random() % 10;
  for (int i = chance(50) ? 20 : 0; i > 0; --i) spec.stop_token_ids.push_back(token());
  if (chance(30)) {
    const uint32_t divisor = 7 + random() % 40;
    spec.make_stop_matcher = [divisor] { return std::make_unique<MultipleMatcher>(divisor); };
  }
  if (chance(30)) spec.logprobs = random() % 4;
  if (chance(30)) spec.prompt_logprobs = random() % 4;
  return spec;
}

// The answers of kRequests random requests, by request and choice.
std::vector<std::vector<Answer>> Serve(const std::string& checkpoint, int max_in_flight) {
  auto served = ServedCheckpoint::Load(checkpoint, {.page_tokens = 4,
                                                    .num_slots = 6,
                                                    .max_sequence_tokens = 300,
                                                    .max_step_tokens = 40,
                                                    .prompt_piece = 32,
                                                    .max_in_flight = max_in_flight});
  std::mt19937 random(20261125);
  std::vector<std::future<std::vector<Answer>>> futures;
  for (int i = 0; i < kRequests; ++i) {
    RequestSpec spec = RandomSpec(random, static_cast<uint32_t>(served->config().vocab_size));
    spec.id = absl::StrCat("request ", i);
    futures.push_back(served->SubmitChoices(std::move(spec)));
  }
  std::vector<std::vector<Answer>> answers;
  for (auto& future : futures) answers.push_back(future.get());
  return answers;
}

void ExpectSameBits(const std::vector<OutputToken>& a, const std::vector<OutputToken>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].token, b[i].token) << i;
    ASSERT_EQ(a[i].logprob, b[i].logprob) << i;
    ASSERT_EQ(a[i].rank, b[i].rank) << i;
    ASSERT_EQ(a[i].top.size(), b[i].top.size()) << i;
    for (size_t j = 0; j < a[i].top.size(); ++j) {
      ASSERT_EQ(a[i].top[j].token, b[i].top[j].token) << i;
      ASSERT_EQ(a[i].top[j].logprob, b[i].top[j].logprob) << i;
    }
  }
}

void ExpectSameEnd(const FinishInfo& a, const FinishInfo& b) {
  EXPECT_EQ(a.reason, b.reason);
  EXPECT_EQ(a.num_output_tokens, b.num_output_tokens);
  EXPECT_EQ(a.stop_token_id, b.stop_token_id);
  EXPECT_EQ(a.stop_text, b.stop_text);
  EXPECT_EQ(a.kept_counts, b.kept_counts);
}

class OverlapTest : public testing::TestWithParam<std::string> {};

TEST_P(OverlapTest, ChangesNoAnswer) {
  const auto expected = Serve(GetParam(), 1), actual = Serve(GetParam(), 2);
  int num_stopped = 0, num_long = 0;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_EQ(actual[i].size(), expected[i].size());
    for (size_t c = 0; c < expected[i].size(); ++c) {
      SCOPED_TRACE(testing::Message() << "request " << i << ", choice " << c);
      ExpectSameBits(actual[i][c].prompt_logprobs, expected[i][c].prompt_logprobs);
      ExpectSameBits(actual[i][c].tokens, expected[i][c].tokens);
      ExpectSameEnd(actual[i][c].finish, expected[i][c].finish);
      if (HasFailure()) return;
      num_stopped += expected[i][c].finish.reason == FinishReason::kStop;
      num_long += expected[i][c].tokens.size() > 5;
    }
  }
  EXPECT_GE(num_stopped, 10) << "rows of what had ended were discarded";
  EXPECT_GE(num_long, 20);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, OverlapTest,
                         testing::Values("deploy/demo-model", "tests/golden/gdn",
                                         "tests/golden/swa", "tests/golden/attn",
                                         "tests/golden/lte"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace winnow
