// Sampling on CUDA: greedy tokens, log-probabilities, ranks and alternatives equal the CPU's; draws
// equal a float64 evaluation of what kernels/ops/sample.h says, but where the uniform number or a
// cutoff falls within rounding of a boundary; penalties and biases leave the logits as they were.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/philox.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::testing::Identical;
using ::winnow::testing::RandomFloats;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<RowResult> RunSample(Backend& backend, int64_t vocab, const std::vector<float>& logits,
                                 const std::vector<LogitsRow>& rows) {
  const int64_t count = static_cast<int64_t>(rows.size());
  const TestTensor view(backend, DType::kF32, {count, vocab}, logits);
  std::vector<RowResult> results(rows.size());
  absl::Status status =
      backend.Sample({.logits = view, .rows = rows.data(), .results = results.data()});
  status.Update(backend.Synchronize());
  EXPECT_TRUE(status.ok()) << status;
  // Tests of faults have NaN here, which compares by bits.
  EXPECT_EQ(std::memcmp(view.Read().data(), logits.data(), logits.size() * sizeof(float)), 0);
  return results;
}

Backend& Cuda() { return CudaFor(DType::kF32); }

// Logits of a row: a few tens of values each repeated, so that ties are everywhere.
std::vector<float> TiedLogits(int64_t size, uint64_t seed) {
  std::vector<float> logits = RandomFloats(size, seed, -20, 20);
  for (float& x : logits) x = std::round(x * 2) / 2;
  return logits;
}

TEST(SampleOps, GreedyRanksAndAlternativesEqualTheCpus) {
  for (const int64_t vocab : {1, 2, 31, 97, 1024, 1025, 32000, 151'936}) {
    for (const bool tied : {false, true}) {
      constexpr int64_t kRows = 7;
      const std::vector<float> logits =
          tied ? TiedLogits(kRows * vocab, 1) : RandomFloats(kRows * vocab, 2, -20, 20);
      std::vector<LogitsRow> rows(kRows);
      for (int64_t i = 0; i < kRows; ++i) {
        rows[i].sampling.temperature = 0;
        rows[i].want_logprobs = i % 2 == 0;
        rows[i].num_top = static_cast<uint32_t>(i == 6 ? kMaxTopLogprobs : i);
        if (i < 4) continue;
        rows[i].purpose = RowPurpose::kScore;
        rows[i].score_token = static_cast<uint32_t>(i * 7919 % vocab);
      }
      const auto expected = RunSample(Cpu(), vocab, logits, rows);
      const auto actual = RunSample(Cuda(), vocab, logits, rows);
      for (int64_t i = 0; i < kRows; ++i) {
        SCOPED_TRACE(::testing::Message() << "vocab " << vocab << ", row " << i);
        EXPECT_FALSE(actual[i].fault);
        EXPECT_EQ(actual[i].token, expected[i].token);
        EXPECT_EQ(actual[i].rank, expected[i].rank);
        EXPECT_NEAR(actual[i].logprob, expected[i].logprob, 1e-5);
        ASSERT_EQ(actual[i].top.size(), expected[i].top.size());
        for (size_t t = 0; t < expected[i].top.size(); ++t) {
          EXPECT_EQ(actual[i].top[t].token, expected[i].top[t].token);
          EXPECT_NEAR(actual[i].top[t].logprob, expected[i].top[t].logprob, 1e-5);
        }
      }
    }
  }
}

TEST(SampleOps, SaysWhichRowsAreFaulty) {
  constexpr int64_t kVocab = 3000;
  std::vector<float> logits = RandomFloats(4 * kVocab, 3);
  logits[kVocab + 2999] = std::numeric_limits<float>::quiet_NaN();
  logits[3 * kVocab] = std::numeric_limits<float>::infinity();
  const auto results = RunSample(Cuda(), kVocab, logits, std::vector<LogitsRow>(4));
  EXPECT_FALSE(results[0].fault);
  EXPECT_TRUE(results[1].fault);
  EXPECT_FALSE(results[2].fault);
  EXPECT_TRUE(results[3].fault);
}

// The distribution of a draw in float64, and whether a cutoff was close enough to be decided by
// rounding.
struct Distribution {
  std::vector<double> mass;
  bool close = false;
};

double Edited(const LogitsRow& row, uint32_t token, double logit) {
  const SamplingParams& s = row.sampling;
  for (const TokenBias& bias : row.context.logit_bias) {
    if (bias.token == token) logit = static_cast<float>(logit + bias.bias);
  }
  const auto count = [token](std::span<const uint32_t> tokens) {
    return static_cast<double>(std::count(tokens.begin(), tokens.end(), token));
  };
  const double in_output = count(row.context.output);
  if (in_output > 0 || (s.repetition_penalty != 1 && count(row.context.prompt) > 0)) {
    logit = logit > 0 ? logit / s.repetition_penalty : logit * s.repetition_penalty;
    logit -= s.frequency_penalty * in_output;
    if (in_output > 0) logit -= s.presence_penalty;
    logit = static_cast<float>(logit);
  }
  const auto& suppressed = row.context.suppressed;
  const std::set<uint32_t> distinct(suppressed.begin(), suppressed.end());
  return distinct.contains(token) ? -kInfinity : logit;
}

Distribution Expected(const LogitsRow& row, std::span<const float> raw) {
  const SamplingParams& s = row.sampling;
  const int64_t vocab = static_cast<int64_t>(raw.size());
  std::vector<double> logits(vocab);
  for (int64_t i = 0; i < vocab; ++i) logits[i] = Edited(row, static_cast<uint32_t>(i), raw[i]);
  const double most = *std::max_element(logits.begin(), logits.end());
  Distribution d;
  d.mass.resize(vocab);
  for (int64_t i = 0; i < vocab; ++i) {
    d.mass[i] = std::exp((logits[i] - most) / s.temperature);
    if (d.mass[i] < s.min_p) d.mass[i] = 0;
  }
  std::vector<int64_t> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  const auto cut = [&](int64_t kept) {
    for (int64_t i = kept; i < vocab; ++i) d.mass[order[i]] = 0;
  };
  if (s.top_k > 0) cut(std::min<int64_t>(s.top_k, vocab));
  const double total = std::accumulate(d.mass.begin(), d.mass.end(), 0.0);
  double sum = 0;
  for (int64_t i = 0; i < vocab && s.top_p < 1; ++i) {
    sum += d.mass[order[i]];
    d.close |= std::abs(sum / total - s.top_p) < 1e-6;
    if (sum / total >= s.top_p) {
      cut(i + 1);
      break;
    }
  }
  const double kept = std::accumulate(d.mass.begin(), d.mass.end(), 0.0);
  for (double& mass : d.mass) mass /= kept;
  return d;
}

// Draws `rows` and compares each with the inverse CDF of its distribution.
void ExpectDraws(int64_t vocab, const std::vector<float>& logits,
                 const std::vector<LogitsRow>& rows) {
  const auto results = RunSample(Cuda(), vocab, logits, rows);
  int64_t close = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Distribution d =
        Expected(rows[i], std::span<const float>(logits).subspan(i * vocab, vocab));
    const double uniform =
        PhiloxUniform(rows[i].sampling.seed, static_cast<uint64_t>(rows[i].position));
    double sum = 0;
    int64_t token = -1;
    bool near = d.close;
    for (int64_t t = 0; t < vocab; ++t) {
      if (d.mass[t] == 0) continue;
      sum += d.mass[t];
      near |= std::abs(sum - uniform) < 1e-6;
      if (token < 0 && sum > uniform) token = t;
    }
    close += near;
    if (near) continue;
    EXPECT_EQ(results[i].token, token) << "row " << i;
  }
  EXPECT_LE(close, static_cast<int64_t>(rows.size()) / 4);
}

TEST(SampleOps, DrawsAreTheInverseCdf) {
  for (const int64_t vocab : {1, 2, 50, 1500, 33'000}) {
    for (const SamplingParams& sampling :
         {SamplingParams{.seed = 7}, SamplingParams{.temperature = 0.5f, .top_k = 40, .seed = 8},
          SamplingParams{.temperature = 1.5f, .top_p = 0.8f, .seed = ~uint64_t{0}},
          SamplingParams{.temperature = 2.0f, .top_k = 30, .top_p = 0.5f, .seed = 10},
          SamplingParams{.top_k = 5000, .seed = 11}, SamplingParams{.min_p = 0.1f, .seed = 12},
          SamplingParams{
              .temperature = 1.2f, .top_k = 800, .top_p = 0.9f, .min_p = 0.01f, .seed = 13}}) {
      constexpr int64_t kRows = 40;
      std::vector<LogitsRow> rows(kRows);
      for (int64_t i = 0; i < kRows; ++i) {
        rows[i].sampling = sampling;
        rows[i].position = i * 1'000'003;
      }
      SCOPED_TRACE(vocab);
      ExpectDraws(vocab, RandomFloats(kRows * vocab, 4, -4, 4), rows);
    }
  }
}

// Half of the tokens have one logit: prefixes end inside of that run, at the lowest ids.
TEST(SampleOps, PrefixesKeepTheLowestOfEqualIds) {
  constexpr int64_t kVocab = 2000, kRows = 60;
  std::vector<float> logits(kRows * kVocab, 1.0f);
  for (size_t i = 0; i < logits.size(); i += 2) logits[i] = -1;
  std::vector<LogitsRow> rows(kRows);
  for (int64_t i = 0; i < kRows; ++i) {
    rows[i].sampling = {.top_k = 100, .seed = 5};
    rows[i].position = i;
  }
  for (const RowResult& result : RunSample(Cuda(), kVocab, logits, rows)) {
    EXPECT_LT(result.token, 200u);
    EXPECT_EQ(result.token % 2, 1u);
  }
  ExpectDraws(kVocab, logits, rows);
}

TEST(SampleOps, PenaltiesBiasesAndSuppressedTokens) {
  constexpr int64_t kVocab = 700, kRows = 30;
  const std::vector<float> logits = RandomFloats(kRows * kVocab, 6, -3, 3);
  std::mt19937_64 random(7);
  std::vector<std::vector<uint32_t>> lists(3 * kRows);
  for (auto& list : lists) {
    list.resize(random() % 200);
    for (uint32_t& token : list) token = static_cast<uint32_t>(random() % kVocab);
  }
  std::vector<std::vector<TokenBias>> biases(kRows);
  std::vector<LogitsRow> rows(kRows);
  for (int64_t i = 0; i < kRows; ++i) {
    for (uint32_t t = static_cast<uint32_t>(i); t < kVocab; t += 50) {
      biases[i].push_back({t, static_cast<float>(i % 5) - 2});
    }
    rows[i].context = {.prompt = lists[3 * i],
                       .output = lists[3 * i + 1],
                       .logit_bias = biases[i],
                       .suppressed = {}};
    if (i % 3 == 0) rows[i].context.suppressed = lists[3 * i + 2];
    rows[i].sampling.seed = 9;
    rows[i].position = i;
    if (i % 2 == 0) rows[i].sampling.repetition_penalty = 1.3f;
    if (i % 4 < 2) rows[i].sampling.frequency_penalty = 0.4f;
    if (i % 5 == 0) rows[i].sampling.presence_penalty = -0.7f;
  }
  ExpectDraws(kVocab, logits, rows);
}

// The last token of the output makes no difference for being told by `drawn`, to the bit: whether
// other edits name it or not. What is drawn takes its place.
TEST(SampleOps, ATokenInFlightIsOutput) {
  constexpr int64_t kVocab = 300, kRows = 64;
  const std::vector<float> logits = RandomFloats(kRows * kVocab, 16, -3, 3);
  std::mt19937_64 random(17);
  std::vector<std::vector<uint32_t>> outputs(kRows);
  const std::vector<TokenBias> biases = {{5, 1.5f}, {6, -1}};
  const std::vector<uint32_t> prompt = {6, 7, 8, 7}, suppressed = {9};
  std::vector<LogitsRow> rows(kRows);
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t n = 1 + i % 9; n > 0; --n)
      outputs[i].push_back(random() % (i % 4 == 0 ? 300 : 10));
    rows[i].context = {.prompt = prompt, .output = outputs[i], .logit_bias = {}, .suppressed = {}};
    if (i % 3 == 0) rows[i].context.logit_bias = biases;
    if (i % 5 == 0) rows[i].context.suppressed = suppressed;
    rows[i].sampling = {.temperature = i % 7 == 0 ? 0.0f : 1.0f, .seed = 18};
    rows[i].position = i;
    if (i % 2 == 0) rows[i].sampling.repetition_penalty = 1.7f;
    if (i % 4 < 2) rows[i].sampling.frequency_penalty = 0.9f;
    if (i % 8 < 4) rows[i].sampling.presence_penalty = 1.3f;
  }
  const auto expected = RunSample(Cuda(), kVocab, logits, rows);

  std::vector<uint32_t> before(kRows + 1);
  for (int64_t i = 0; i < kRows; ++i) {
    before[i + 1] = outputs[i].back();
    rows[i].slot = static_cast<int32_t>(i + 1);
    rows[i].context.output = rows[i].context.output.first(outputs[i].size() - 1);
    rows[i].context.output_in_flight = true;
  }
  const TestArray<uint32_t> drawn(Cuda(), before);
  const TestTensor view(Cuda(), DType::kF32, {kRows, kVocab}, logits);
  std::vector<RowResult> results(kRows);
  ASSERT_TRUE(Cuda()
                  .Sample({.logits = view,
                           .rows = rows.data(),
                           .results = results.data(),
                           .drawn = drawn.data()})
                  .ok());
  const std::vector<uint32_t> after = drawn.Read();
  EXPECT_EQ(view.Read(), logits) << "edited and not restored";
  EXPECT_EQ(after[0], 0u);
  for (int64_t i = 0; i < kRows; ++i) {
    EXPECT_EQ(results[i].token, expected[i].token) << i;
    EXPECT_EQ(after[i + 1], expected[i].token) << i;
  }
}

TEST(SampleOps, FaultsScoresAndRowsWithoutASlotLeaveWhatWasDrawn) {
  constexpr int64_t kVocab = 100;
  std::vector<float> logits = RandomFloats(3 * kVocab, 19);
  logits[kVocab - 1] = std::numeric_limits<float>::quiet_NaN();
  std::vector<LogitsRow> rows(3);
  rows[0].slot = 1;  // faulty
  rows[1].purpose = RowPurpose::kScore;
  const TestArray<uint32_t> drawn(Cuda(), {7, 8, 9});
  const TestTensor view(Cuda(), DType::kF32, {3, kVocab}, logits);
  std::vector<RowResult> results(3);
  ASSERT_TRUE(Cuda()
                  .Sample({.logits = view,
                           .rows = rows.data(),
                           .results = results.data(),
                           .drawn = drawn.data()})
                  .ok());
  EXPECT_EQ(drawn.Read(), (std::vector<uint32_t>{7, 8, 9}));
  EXPECT_TRUE(results[0].fault);
}

TEST(SampleOps, SuppressedTokensAreNeverGreedy) {
  constexpr int64_t kVocab = 64;
  std::vector<float> logits(2 * kVocab, 0.0f);
  logits[5] = logits[kVocab + 5] = 9;
  logits[17] = logits[kVocab + 17] = 8;
  const std::vector<uint32_t> some = {5, 5}, all = [] {
    std::vector<uint32_t> tokens(kVocab);
    std::iota(tokens.begin(), tokens.end(), 0u);
    return tokens;
  }();
  std::vector<LogitsRow> rows(2);
  for (LogitsRow& row : rows) row.sampling.temperature = 0;
  rows[0].context.suppressed = some;
  rows[1].context.suppressed = all;
  const auto results = RunSample(Cuda(), kVocab, logits, rows);
  EXPECT_EQ(results[0].token, 17u);
  EXPECT_EQ(results[1].token, 5u);  // none is suppressed when all are
}

}  // namespace
}  // namespace winnow::cuda
