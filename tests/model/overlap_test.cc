// A step planned and launched while the one before it is in flight changes no answer: tokens,
// log-probabilities, endings and what was kept are bit-identical to those of steps one after the
// other, whatever a request asks for and wherever it ends.
#include <cctype>
#include <future>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/testing/forwarding_backend.h"
#include "tests/model/mixed_requests.h"
#include "tests/model/served_checkpoint.h"

namespace winnow {
namespace {

constexpr int kRequests = 60;

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
    RequestSpec spec = MixedRequest(random, static_cast<uint32_t>(served->config().vocab_size));
    spec.id = absl::StrCat("request ", i);
    futures.push_back(served->SubmitChoices(std::move(spec)));
  }
  std::vector<std::vector<Answer>> answers;
  for (auto& future : futures) answers.push_back(future.get());
  return answers;
}

class OverlapTest : public ::testing::TestWithParam<std::string> {};

TEST_P(OverlapTest, ChangesNoAnswer) {
  const auto expected = Serve(GetParam(), 1), actual = Serve(GetParam(), 2);
  int num_stopped = 0, num_long = 0;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_EQ(actual[i].size(), expected[i].size());
    for (size_t c = 0; c < expected[i].size(); ++c) {
      SCOPED_TRACE(::testing::Message() << "request " << i << ", choice " << c);
      ExpectSameAnswer(actual[i][c], expected[i][c]);
      if (HasFailure()) return;
      num_stopped += expected[i][c].finish.reason == FinishReason::kStop;
      num_long += expected[i][c].tokens.size() > 5;
    }
  }
  EXPECT_GE(num_stopped, 10) << "rows of what had ended were discarded";
  EXPECT_GE(num_long, 20);
}

// Fails the k-th step as it is launched.
class FailingBackend : public testing::ForwardingBackend {
 public:
  FailingBackend(Backend* to, int k) : ForwardingBackend(to), left_(k) {}
  absl::Status Embed(const EmbedArgs& args) override {
    if (--left_ == 0) return absl::InternalError("not today");
    return ForwardingBackend::Embed(args);
  }

 private:
  int left_;
};

// The step before it is delivered, and the slot and its pages serve the next request.
TEST_P(OverlapTest, AStepThatIsNotLaunchedFailsAlone) {
  const auto cpu = cpu::CpuBackend::Create({.num_threads = 1});
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  RequestSpec spec;
  spec.id = "r";
  for (uint32_t i = 0; i < 25; ++i) spec.prompt.push_back(3 + i * i % 50);
  spec.max_tokens = 12;
  spec.sampling.temperature = 0;
  for (const int max_in_flight : {1, 2}) {
    for (const int failing : {1, 2, 3, 8}) {
      SCOPED_TRACE(::testing::Message() << max_in_flight << " in flight, step " << failing);
      FailingBackend backend(cpu->get(), failing);
      auto served = ServedCheckpoint::Load(GetParam(), {.backend = &backend,
                                                        .page_tokens = 4,
                                                        .num_slots = 1,
                                                        .max_sequence_tokens = 64,
                                                        .max_in_flight = max_in_flight});
      const Answer failed = served->Ask(spec), sound = served->Ask(spec);
      EXPECT_EQ(failed.finish.reason, FinishReason::kError);
      EXPECT_EQ(failed.finish.error.message(), "request r: step failed: not today");
      ASSERT_EQ(failed.tokens.size(), static_cast<size_t>(failing - 1));
      ASSERT_EQ(sound.tokens.size(), 12u);
      for (size_t i = 0; i < failed.tokens.size(); ++i) {
        EXPECT_EQ(failed.tokens[i].token, sound.tokens[i].token) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, OverlapTest,
                         ::testing::Values("deploy/demo-model", "tests/golden/gdn",
                                           "tests/golden/swa", "tests/golden/attn",
                                           "tests/golden/lte"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace winnow
