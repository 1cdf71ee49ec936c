// A step planned and launched while the GPU computes the one before it changes no answer: requests
// with every option, one at a time so that matrix products have the same shapes, are answered to
// the bit as with steps one after the other. And many at once: all are answered, and nothing is
// left.
#include <cstdint>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/testing/backends.h"
#include "tests/model/mixed_requests.h"
#include "tests/model/served_checkpoint.h"

namespace winnow {
namespace {

constexpr int kRequests = 40;

class OverlapGpuTest : public ::testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<ServedCheckpoint> Serve(int max_in_flight) {
    return ServedCheckpoint::Load("tests/golden/" + GetParam(),
                                  {.backend = &cuda::CudaFor(DType::kF32),
                                   .page_tokens = 4,
                                   .num_slots = 12,
                                   .max_sequence_tokens = 300,
                                   .max_step_tokens = 64,
                                   .prompt_piece = 32,
                                   .max_in_flight = max_in_flight});
  }
  static RequestSpec NextRequest(std::mt19937& random, const ServedCheckpoint& served) {
    return MixedRequest(random, static_cast<uint32_t>(served.config().vocab_size));
  }
};

TEST_P(OverlapGpuTest, ChangesNoAnswer) {
  const auto answers = [](int max_in_flight) {
    const auto served = Serve(max_in_flight);  // one after the other: both use one backend
    std::mt19937 random(3);
    std::vector<Answer> all;
    for (int i = 0; i < kRequests; ++i) {
      RequestSpec spec = NextRequest(random, *served);
      spec.num_choices = 1;
      all.push_back(served->Ask(std::move(spec)));
    }
    return all;
  };
  const std::vector<Answer> expected = answers(1), actual = answers(2);
  for (int i = 0; i < kRequests; ++i) {
    SCOPED_TRACE(::testing::Message() << "request " << i);
    ExpectSameAnswer(actual[i], expected[i]);
  }
}

TEST_P(OverlapGpuTest, AnswersManyAtOnce) {
  const auto served = Serve(2);
  std::mt19937 random(4);
  std::vector<std::future<std::vector<Answer>>> futures;
  for (int i = 0; i < 4 * kRequests; ++i) {
    futures.push_back(served->SubmitChoices(NextRequest(random, *served)));
  }
  for (auto& future : futures) {
    for (const Answer& answer : future.get()) {
      EXPECT_NE(answer.finish.reason, FinishReason::kError) << answer.finish.error;
    }
  }
  const LoadStats load = served->engine().Stats().load;
  EXPECT_EQ(load.running + load.waiting + load.slots_used + load.pages_used, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, OverlapGpuTest, ::testing::Values("gdn", "swa", "attn", "lte"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace winnow
