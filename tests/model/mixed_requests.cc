#include "tests/model/mixed_requests.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "scheduler/stop_matcher.h"

namespace winnow {
namespace {

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

}  // namespace

RequestSpec MixedRequest(std::mt19937& random, uint32_t vocab) {
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

void ExpectSameAnswer(const Answer& a, const Answer& b) {
  ExpectSameBits(a.prompt_logprobs, b.prompt_logprobs);
  ExpectSameBits(a.tokens, b.tokens);
  ExpectSameEnd(a.finish, b.finish);
}

}  // namespace winnow
