#include "kernels/cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/sample_reference.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/philox.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using testing::ForEachTarget;
using testing::RandomFloats;

constexpr float kInf = std::numeric_limits<float>::infinity();

LogitsRow Greedy() {
  LogitsRow row;
  row.sampling.temperature = 0;
  return row;
}

LogitsRow Draw(float temperature, uint32_t top_k, float top_p, uint64_t seed, int64_t position) {
  LogitsRow row;
  row.sampling = {.temperature = temperature, .top_k = top_k, .top_p = top_p, .seed = seed};
  row.position = position;
  return row;
}

TEST(Sample, GreedyTakesTheLargestAndOfEqualsTheLowestId) {
  ForEachTarget([] {
    EXPECT_EQ(SampleAll({3}, {Greedy()})[0].token, 0);
    EXPECT_EQ(SampleAll({-3, -2, -2}, {Greedy()})[0].token, 1);
    for (const int64_t vocab : {2, 17, 63, 64, 1000, 32001}) {
      std::vector<float> logits = RandomFloats(vocab, 3);
      for (const int64_t place : {int64_t{0}, vocab / 2, vocab - 1}) {
        std::vector<float> x = logits;
        x[place] = 2;
        EXPECT_EQ(SampleAll(x, {Greedy()})[0].token, place);
        x[vocab - 1] = 2;
        EXPECT_EQ(SampleAll(x, {Greedy()})[0].token, place);
      }
    }
  });
}

TEST(Sample, NanAndInfinityAreFaultsOfTheirRowOnly) {
  ForEachTarget([] {
    for (const int64_t vocab : {1, 5, 100, 1027}) {
      for (const float bad : {std::nanf(""), kInf, -kInf}) {
        for (const int64_t place : {int64_t{0}, vocab / 2, vocab - 1}) {
          std::vector<float> logits = RandomFloats(3 * vocab, 4);
          logits[vocab + place] = bad;
          const std::vector<LogitsRow> rows(3, Greedy());
          std::vector<RowResult> results(3);
          ThreadPool pool(2);
          Sample(pool, {TensorView::Of(logits.data(), DType::kF32, {3, vocab}), rows.data(),
                        results.data()});
          EXPECT_FALSE(results[0].fault);
          EXPECT_TRUE(results[1].fault) << bad << " at " << place << " of " << vocab;
          EXPECT_FALSE(results[2].fault);
        }
      }
    }
  });
}

TEST(Sample, LeavesWhatWasDrawnForTheNextStep) {
  std::vector<float> logits = {0, 5, 1, 0, 0, 7, kInf, 0, 0, 9, 0, 0};
  std::vector<LogitsRow> rows(4, Greedy());
  rows[0].slot = 3;
  rows[2].slot = 1;  // faulty
  rows[3].purpose = RowPurpose::kScore;
  rows[3].score_token = 2;
  std::vector<RowResult> results(4);
  std::vector<uint32_t> drawn = {7, 7, 7, 7};
  ThreadPool pool(2);
  Sample(pool, {TensorView::Of(logits.data(), DType::kF32, {4, 3}), rows.data(), results.data(),
                drawn.data()});
  EXPECT_TRUE(results[2].fault);
  EXPECT_EQ(drawn, (std::vector<uint32_t>{7, 7, 7, 1}));
}

// Scores, greedy rows and draws report the same log-probabilities, ranks and alternatives.
TEST(Sample, LogprobsRanksAndAlternatives) {
  ForEachTarget([] {
    for (const int64_t vocab : {1, 7, 19, 20, 333, 5000}) {
      for (const bool ties : {false, true}) {
        std::vector<float> logits = RandomFloats(vocab, 8, -30, 30);
        if (ties) {
          for (float& x : logits) x = std::floor(x / 10);
        }
        double sum = 0;
        for (const float x : logits) sum += std::exp(double{x});
        std::vector<uint32_t> ids(vocab);
        std::iota(ids.begin(), ids.end(), 0);
        std::stable_sort(ids.begin(), ids.end(),
                         [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });

        std::vector<LogitsRow> rows(5);
        for (int i = 0; i < 3; ++i) {
          rows[i].purpose = RowPurpose::kScore;
          rows[i].score_token = ids[(vocab - 1) * i / 2];
          rows[i].num_top = i * 10;
        }
        rows[3] = Greedy();
        rows[3].want_logprobs = true;
        rows[3].num_top = 3;
        rows[4] = Draw(0.7f, 5, 0.9f, 1, 2);
        rows[4].want_logprobs = true;
        const std::vector<RowResult> results = SampleAll(logits, rows);
        for (size_t i = 0; i < rows.size(); ++i) {
          const RowResult& result = results[i];
          ASSERT_FALSE(result.fault);
          if (i < 3) {
            ASSERT_EQ(result.token, rows[i].score_token);
          }
          const auto place = std::find(ids.begin(), ids.end(), result.token) - ids.begin();
          EXPECT_EQ(result.rank, place + 1);
          EXPECT_NEAR(result.logprob, logits[result.token] - std::log(sum),
                      1e-5 + 1e-6 * std::abs(result.logprob));
          ASSERT_EQ(result.top.size(), std::min<size_t>(rows[i].num_top, vocab));
          for (size_t t = 0; t < result.top.size(); ++t) {
            EXPECT_EQ(result.top[t].token, ids[t]);
            EXPECT_NEAR(result.top[t].logprob, logits[ids[t]] - std::log(sum), 2e-5);
          }
        }
      }
    }
  });
}

TEST(Sample, ScoresNeedNoFlag) {
  LogitsRow row;
  row.purpose = RowPurpose::kScore;
  row.score_token = 1;
  const RowResult result = SampleAll({0, 0}, {row})[0];
  EXPECT_EQ(result.token, 1);
  EXPECT_EQ(result.rank, 2);
  EXPECT_NEAR(result.logprob, -std::log(2.0), 1e-6);
}

// The inverse CDF in order of id, at the published generator's uniform.
TEST(Sample, DrawsAreTheDocumentedInverseCdf) {
  ForEachTarget([] {
    int compared = 0;
    for (const int64_t vocab : {1, 2, 50, 1500, 5000}) {
      const std::vector<float> logits = RandomFloats(vocab, 9, -4, 4);
      for (const SamplingParams& sampling :
           {SamplingParams{.seed = 7}, SamplingParams{.temperature = 0.5f, .top_k = 40, .seed = 8},
            SamplingParams{.temperature = 1.5f, .top_p = 0.8f, .seed = ~uint64_t{0}},
            SamplingParams{.temperature = 2.0f, .top_k = 30, .top_p = 0.5f, .seed = 10},
            SamplingParams{.top_k = 5000, .seed = 11},
            SamplingParams{.temperature = 1.2f, .top_k = 800, .top_p = 0.9f, .seed = 12}}) {
        const SampleCase c = {.logits = logits, .sampling = sampling};
        const ExactDistribution exact = Distribution(c);
        std::vector<LogitsRow> rows;
        for (int64_t i = 0; i < 40; ++i) rows.push_back(c.Row(i * 1000000007));
        const std::vector<RowResult> results = SampleAll(logits, rows);
        for (size_t i = 0; i < rows.size(); ++i) {
          double margin = 1;
          const double uniform = PhiloxUniform(sampling.seed, rows[i].position);
          const int64_t token = ExactDraw(exact, uniform, &margin);
          if (margin < 1e-6) continue;  // float32 weights may fall on either side
          ++compared;
          ASSERT_EQ(results[i].token, token) << "vocab " << vocab << ", uniform " << uniform;
        }
      }
    }
    EXPECT_GT(compared, 1100);
  });
}

TEST(Sample, ExtremeTemperatures) {
  const std::vector<float> logits = {-3e38f, 5, 3e38f, 2.9e38f, 3e38f, 0};
  const std::vector<float> close = {0, 10, 10 + 1e-5f, -40, 9};
  ForEachTarget([&] {
    for (const float temperature : {1e-45f, 1e-38f, 1e-6f, 1e-3f}) {
      for (int64_t i = 0; i < 20; ++i) {
        const uint32_t token = SampleAll(logits, {Draw(temperature, 0, 1, 1, i)})[0].token;
        EXPECT_TRUE(token == 2 || token == 4) << token;
      }
      EXPECT_EQ(SampleAll(logits, {Draw(temperature, 1, 1, 1, 0)})[0].token, 2);
    }
    for (int64_t i = 0; i < 20; ++i)
      EXPECT_EQ(SampleAll(close, {Draw(1e-8f, 0, 1, 1, i)})[0].token, 2);
    // So hot that all are equally likely.
    std::vector<int> counts(5);
    for (int64_t i = 0; i < 500; ++i)
      ++counts[SampleAll(close, {Draw(3e38f, 0, 1, 1, i)}, 1)[0].token];
    for (const int count : counts) EXPECT_NEAR(count, 100, 50);
  });
}

TEST(Sample, TopPKeepsAtLeastOneAndTopKOneIsGreedy) {
  const std::vector<float> logits = {1, 4, 4, 3};
  for (int64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(SampleAll(logits, {Draw(1, 0, 1e-9f, 5, i)}, 1)[0].token, 1);
    EXPECT_EQ(SampleAll(logits, {Draw(1, 1, 1, 5, i)}, 1)[0].token, 1);
    EXPECT_NE(SampleAll(logits, {Draw(1, 2, 1, 5, i)}, 1)[0].token, 3);
  }
}

TEST(Sample, SameAloneAndAmongNeighbours) {
  const std::vector<float> logits = RandomFloats(5003, 31, -5, 5);
  std::vector<LogitsRow> rows;
  for (int64_t i = 0; i < 40; ++i) {
    rows.push_back(i % 5 == 0 ? Greedy()
                              : Draw(1, i % 3 == 0 ? 50 : 0, i % 2 == 0 ? 0.9f : 1, 3, i));
    rows.back().want_logprobs = i % 4 == 0;
    rows.back().num_top = static_cast<uint32_t>(i % 6);
  }
  const std::vector<RowResult> together = SampleAll(logits, rows, 3);
  for (size_t i = 0; i < rows.size(); ++i) {
    const RowResult alone = SampleAll(logits, {rows[i]}, 1)[0];
    EXPECT_EQ(alone.token, together[i].token);
    EXPECT_EQ(alone.logprob, together[i].logprob);
    EXPECT_EQ(alone.rank, together[i].rank);
    ASSERT_EQ(alone.top.size(), together[i].top.size());
    for (size_t t = 0; t < alone.top.size(); ++t)
      EXPECT_EQ(alone.top[t].logprob, together[i].top[t].logprob);
  }
}

// What was in the results before does not stay.
TEST(Sample, OverwritesResults) {
  std::vector<float> logits = {1, 2};
  const LogitsRow row = Greedy();
  RowResult result = {.token = 9, .fault = true, .logprob = 3, .rank = 4, .top = {{1, 2}}};
  ThreadPool pool(1);
  Sample(pool, {TensorView::Of(logits.data(), DType::kF32, {1, 2}), &row, &result});
  EXPECT_EQ(result.token, 1);
  EXPECT_FALSE(result.fault);
  EXPECT_EQ(result.rank, 0);
  EXPECT_TRUE(result.top.empty());
  Sample(pool, {TensorView::Of(logits.data(), DType::kF32, {0, 2}), nullptr, nullptr});
}

}  // namespace
}  // namespace winnow::cpu
