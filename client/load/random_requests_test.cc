#include "client/load/random_requests.h"

#include <algorithm>
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow::load {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::Le;
using ::testing::Lt;

constexpr uint32_t kVocabSize = 50;

TEST(RandomRequestsTest, RandomPromptsHaveTheirLengthAndIdsOfTheVocabulary) {
  LoadOptions options;
  options.prompt_tokens = LengthDistribution(2000);
  options.output_tokens = LengthDistribution(7);
  RandomRequests source(options, {}, kVocabSize, /*has_tokenizer=*/true);
  const v1::GenerateRequest request = source.Next().request;
  ASSERT_EQ(request.token_ids().ids_size(), 2000);
  EXPECT_THAT(request.token_ids().ids(), Each(Lt(kVocabSize)));
  for (uint32_t id = 0; id < kVocabSize; ++id) {
    const auto count =
        std::count(request.token_ids().ids().begin(), request.token_ids().ids().end(), id);
    EXPECT_NEAR(static_cast<double>(count), 40, 5 * std::sqrt(40)) << id;
  }
  EXPECT_EQ(request.stop().max_tokens(), 7u);
  EXPECT_TRUE(request.stop().ignore_eos());
  EXPECT_FALSE(request.output().skip_text());
  EXPECT_TRUE(request.sampling().has_seed());
  EXPECT_FALSE(request.sampling().has_temperature());
}

TEST(RandomRequestsTest, WithoutTokenizerNoTextIsAskedFor) {
  LoadOptions options;
  EXPECT_TRUE(RandomRequests(options, {}, 5, false).Next().request.output().skip_text());
}

TEST(RandomRequestsTest, TheSeedMakesTheRequests) {
  LoadOptions options;
  options.cancel_share = 0.5;
  RandomRequests first(options, {}, 1000, true), second(options, {}, 1000, true);
  options.seed = 2;
  RandomRequests other(options, {}, 1000, true);
  const auto a = first.Next(), b = second.Next(), c = other.Next();
  EXPECT_EQ(a.request.SerializeAsString(), b.request.SerializeAsString());
  EXPECT_EQ(a.behaviour, b.behaviour);
  EXPECT_NE(a.request.SerializeAsString(), c.request.SerializeAsString());
  EXPECT_NE(first.Next().request.SerializeAsString(), a.request.SerializeAsString());
}

TEST(RandomRequestsTest, AFileIsTakenLineByLineOverAndOver) {
  LoadOptions options;
  options.prompt_tokens = LengthDistribution(4);
  std::vector<FileRequest> file(3);
  file[0].prompt = "text";
  file[1].prompt_token_ids = {7, 8};
  file[1].output_tokens = 3;
  file[2].prompt_tokens = 6;
  RandomRequests source(options, file, kVocabSize, true);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(source.Next().request.text(), "text");
    const v1::GenerateRequest ids = source.Next().request;
    EXPECT_THAT(ids.token_ids().ids(), testing::ElementsAre(7u, 8u));
    EXPECT_EQ(ids.stop().max_tokens(), 3u);
    const v1::GenerateRequest drawn = source.Next().request;
    EXPECT_EQ(drawn.token_ids().ids_size(), 6);
    EXPECT_EQ(drawn.stop().max_tokens(), 128u) << "what a line lacks is drawn";
  }
}

TEST(RandomRequestsTest, BehavioursComeInTheirShares) {
  constexpr int kNum = 20'000;
  LoadOptions options;
  options.prompt_tokens = LengthDistribution(1);
  options.output_tokens = LengthDistribution(10);
  options.cancel_share = 0.2;
  options.slow_share = 0.05;
  RandomRequests source(options, {}, kVocabSize, true);
  int num_cancel = 0, num_slow = 0;
  std::vector<double> cancel_after;
  for (int i = 0; i < kNum; ++i) {
    const PlannedRequest planned = source.Next();
    num_cancel += planned.behaviour == Behaviour::kCancel;
    num_slow += planned.behaviour == Behaviour::kReadSlowly;
    if (planned.behaviour == Behaviour::kCancel) {
      cancel_after.push_back(planned.cancel_after_tokens);
    }
  }
  EXPECT_NEAR(num_cancel, kNum * 0.2, 5 * std::sqrt(kNum * 0.2 * 0.8));
  EXPECT_NEAR(num_slow, kNum * 0.05, 5 * std::sqrt(kNum * 0.05 * 0.95));
  EXPECT_THAT(cancel_after, Each(AllOf(Ge(1), Le(5))));
  EXPECT_THAT(cancel_after, testing::Contains(5));
}

}  // namespace
}  // namespace winnow::load
