// What a row's context does to its draw, against the float64 reference and at the edges.
#include "kernels/cpu/sample_edits.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/sample_reference.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/philox.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using testing::ExactFloats;
using testing::ForEachTarget;
using testing::RandomFloats;

constexpr float kMax = std::numeric_limits<float>::max();
constexpr float kTiny = std::numeric_limits<float>::denorm_min();

// What a case asks for: bits of its number.
enum : int {
  kSuppressed = 1,
  kBias = 2,
  kRepetition = 4,
  kFrequency = 8,
  kPresence = 16,
  kNumEdits = 32,
  kMinP = 32,
  kTopK = 64,
  kTopP = 128,
  kHot = 256,  // temperature above 1, else below
  kNumOptions = 512,
};

std::vector<uint32_t> RandomTokens(int64_t count, int64_t vocab, std::mt19937_64* rng) {
  std::vector<uint32_t> tokens(count);
  for (uint32_t& token : tokens) token = static_cast<uint32_t>((*rng)() % vocab);
  return tokens;
}

// Prompt and output are always there and repeat tokens. `exact`: numbers whose results are exact in
// float32, with many ties.
SampleCase RandomCase(int options, int64_t vocab, bool exact, uint64_t seed) {
  std::mt19937_64 rng(seed);
  const auto has = [&](int option) { return (options & option) != 0; };
  const auto number = [&](float low, float high, float exact_value = 1) {
    return exact ? exact_value : std::uniform_real_distribution<float>(low, high)(rng);
  };
  SampleCase c;
  c.logits = exact ? ExactFloats(vocab, seed) : RandomFloats(vocab, seed, -4, 4);
  c.prompt = RandomTokens(vocab / 3 + 2, vocab, &rng);
  c.output = RandomTokens(vocab / 4 + 2, vocab, &rng);
  if (has(kSuppressed)) c.suppressed = RandomTokens(vocab / 2 + 1, vocab, &rng);
  for (uint32_t token = 0; has(kBias) && token < vocab; token += 1 + rng() % 5) {
    c.logit_bias.push_back({token, ExactFloats(1, rng())[0] * number(0.5f, 3, 2)});
  }
  SamplingParams& sampling = c.sampling;
  if (has(kRepetition)) sampling.repetition_penalty = number(0.5f, 2, 2);
  if (has(kFrequency)) sampling.frequency_penalty = number(-1, 2, 0.25f);
  if (has(kPresence)) sampling.presence_penalty = number(-2, 2, 0.5f);
  if (has(kMinP)) sampling.min_p = number(0.001f, 0.3f);
  if (has(kTopK)) sampling.top_k = static_cast<uint32_t>(1 + rng() % (vocab + vocab / 8 + 1));
  if (has(kTopP)) sampling.top_p = number(0.2f, 0.99f);
  sampling.temperature = has(kHot) ? number(1, 3) : number(0.1f, 1);
  sampling.seed = rng();
  return c;
}

std::string Describe(const SampleCase& c, int options) {
  return "options " + std::to_string(options) + ", vocab " + std::to_string(c.logits.size()) +
         ", seed " + std::to_string(c.sampling.seed);
}

uint32_t TokenOf(const SampleCase& c, int64_t position = 0) {
  const RowResult result = SampleAll(c.logits, {c.Row(position)}, 1)[0];
  EXPECT_FALSE(result.fault);
  return result.token;
}

TEST(SampleEdits, GreedyIsTheLargestEditedLogit) {
  int compared = 0;
  for (int options = 0; options < kNumEdits; ++options) {
    for (const int64_t vocab : {1, 2, 7, 64, 333, 2500}) {
      for (int i = 0; i < 8; ++i) {
        SampleCase c = RandomCase(options, vocab, i % 2 == 0, 1000 * options + i);
        c.sampling.temperature = 0;
        // They change no greedy choice.
        c.sampling.min_p = i % 4 < 2 ? 0.0f : 0.7f;
        c.sampling.top_k = i % 3;
        double margin = 1;
        const int64_t token = GreedyToken(c, &margin);
        if (margin < kTooClose) continue;
        ++compared;
        ForEachTarget([&] { ASSERT_EQ(TokenOf(c), token) << Describe(c, options); });
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(compared, 1500);
}

// Compares draws of the case with the reference on every target; how many could be compared.
int CompareDraws(const SampleCase& c, int options) {
  const ExactDistribution exact = Distribution(c);
  if (exact.margin < kTooClose) return 0;
  std::vector<LogitsRow> rows;
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < 8; ++i) {
    const LogitsRow row = c.Row(i * 1000000007);
    double margin = 1;
    const int64_t token = ExactDraw(exact, PhiloxUniform(c.sampling.seed, row.position), &margin);
    if (margin < kTooClose) continue;
    rows.push_back(row);
    tokens.push_back(token);
  }
  ForEachTarget([&] {
    const std::vector<RowResult> results = SampleAll(c.logits, rows, 1);
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(results[i].token, tokens[i])
          << Describe(c, options) << ", position " << rows[i].position;
    }
  });
  return static_cast<int>(rows.size());
}

// Every combination of the options, at the published generator's uniform.
TEST(SampleEdits, DrawsAreTheReferences) {
  int compared = 0;
  for (int options = 0; options < kNumOptions; ++options) {
    for (const int64_t vocab : {1, 2, 9, 70, 1200}) {
      compared += CompareDraws(RandomCase(options, vocab, false, 7000 * options + vocab), options);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(compared, 19000);
}

// Rows with edits and without in one call, on several threads whose scratch they share: each as
// alone.
TEST(SampleEdits, DependOnNothingBesideTheRow) {
  std::vector<SampleCase> cases;
  const std::vector<float> logits = RandomFloats(1500, 3, -4, 4);
  for (int i = 0; i < 60; ++i) {
    cases.push_back(RandomCase(i % 3 == 0 ? 0 : i * 37 % kNumOptions, 1500, false, i));
    cases.back().logits = logits;
    if (i % 5 == 0) cases.back().sampling.temperature = 0;
  }
  std::vector<LogitsRow> rows;
  for (size_t i = 0; i < cases.size(); ++i) rows.push_back(cases[i].Row(static_cast<int64_t>(i)));
  const std::vector<RowResult> together = SampleAll(logits, rows, 3);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(together[i].token, TokenOf(cases[i], static_cast<int64_t>(i))) << i;
    LogitsRow elsewhere = rows[i];
    elsewhere.row = 17;
    elsewhere.want_logprobs = true;
    elsewhere.num_top = 5;
    EXPECT_EQ(together[i].token, SampleAll(logits, {rows[0], elsewhere}, 1)[1].token) << i;
  }
}

TEST(SampleEdits, OrderOfTheOutputAndRepetitionsInTheOtherListsDoNotMatter) {
  SampleCase c = RandomCase(kNumOptions - 1, 300, false, 5);
  std::vector<uint32_t> tokens;
  for (int64_t i = 0; i < 200; ++i) tokens.push_back(TokenOf(c, i));
  std::reverse(c.output.begin(), c.output.end());
  for (std::vector<uint32_t>* list : {&c.prompt, &c.suppressed}) {
    const std::vector<uint32_t> once = *list;
    list->insert(list->end(), once.rbegin(), once.rend());
  }
  for (int64_t i = 0; i < 200; ++i) EXPECT_EQ(TokenOf(c, i), tokens[i]);
}

// The context edits what is drawn from, not what is reported.
TEST(SampleEdits, ReportsAreOfTheRawLogits) {
  ForEachTarget([] {
    SampleCase c = {.logits = {0, 3, 1, 2}, .output = {1}, .suppressed = {1}};
    c.sampling = {.temperature = 0, .presence_penalty = 1};
    c.logit_bias = {{2, 50}};
    LogitsRow row = c.Row(0);
    row.want_logprobs = true;
    row.num_top = 2;
    const RowResult result = SampleAll(c.logits, {row})[0];
    EXPECT_EQ(result.token, 2u);
    EXPECT_EQ(result.rank, 3u);
    const double log_sum = std::log(1 + std::exp(3.0) + std::exp(1.0) + std::exp(2.0));
    EXPECT_NEAR(result.logprob, 1 - log_sum, 1e-6);
    ASSERT_EQ(result.top.size(), 2u);
    EXPECT_EQ(result.top[0].token, 1u);
    EXPECT_NEAR(result.top[0].logprob, 3 - log_sum, 1e-6);
    EXPECT_EQ(result.top[1].token, 3u);
  });
}

TEST(SampleEdits, FaultsComeFirst) {
  ForEachTarget([] {
    for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
      SampleCase c = {.logits = {1, bad, 2, 3}, .logit_bias = {{1, -100}}, .suppressed = {1}};
      const RowResult result = SampleAll(c.logits, {c.Row(0)})[0];
      EXPECT_TRUE(result.fault) << bad;
      EXPECT_EQ(result.token, 0u);
    }
  });
}

TEST(SampleEdits, SuppressedTokensAreNeverDrawn) {
  ForEachTarget([] {
    SampleCase c = {.logits = {5, 5, 5, 5, 5}, .output = {0, 1}, .suppressed = {0, 3, 3}};
    c.logit_bias = {{0, kMax}, {1, -1}};
    for (const float temperature : {0.0f, kTiny, 1.0f, kMax}) {
      for (const uint32_t top_k : {0u, 4u, 600u}) {
        c.sampling = {.temperature = temperature, .top_k = top_k, .frequency_penalty = -kMax};
        for (int64_t i = 0; i < 30; ++i) {
          const uint32_t token = TokenOf(c, i);
          EXPECT_TRUE(token == 1 || token == 2 || token == 4) << token;
        }
      }
    }
    SampleCase one = {.logits = RandomFloats(700, 1)};
    for (uint32_t token = 0; token < 700; ++token) {
      if (token != 321) one.suppressed.push_back(token);
    }
    for (const uint32_t top_k : {0u, 1u, 50u, 600u}) {
      one.sampling = {.top_k = top_k, .top_p = 0.9f, .min_p = 0.1f};
      EXPECT_EQ(TokenOf(one), 321u);
    }
  });
}

TEST(SampleEdits, SuppressingEveryTokenSuppressesNone) {
  SampleCase c = RandomCase(kBias | kRepetition | kTopK | kHot, 40, false, 8);
  SampleCase all = c;
  for (uint32_t i = 0; i < 40; ++i) all.suppressed.push_back(39 - i);
  SampleCase repeated = c;  // as many entries, but not every token
  repeated.suppressed.assign(100, 7);
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(TokenOf(all, i), TokenOf(c, i));
    EXPECT_NE(TokenOf(repeated, i), 7u);
  }
  EXPECT_EQ(TokenOf({.logits = {-3}, .suppressed = {0, 0}}), 0u);
}

// Greedy shows the values: ties go to the lowest id.
TEST(SampleEdits, ValuesSaturate) {
  const auto greedy = [](std::vector<float> logits, std::vector<TokenBias> bias) {
    return TokenOf({.logits = logits, .sampling = {.temperature = 0}, .logit_bias = bias});
  };
  ForEachTarget([&] {
    // A ban is a bias like any other.
    EXPECT_EQ(greedy({1, 0}, {{0, -100}}), 1u);
    EXPECT_EQ(greedy({101.5f, 0}, {{0, -100}}), 0u);
    // All the same: the largest float.
    EXPECT_EQ(greedy({1, kMax, kMax}, {{2, kMax}}), 1u);
    EXPECT_EQ(greedy({kMax, kMax}, {{0, 1}, {1, kMax}}), 0u);
    EXPECT_EQ(greedy({-kMax, -kMax}, {{0, -kMax}, {1, -kMax}}), 0u);
  });
}

// Every extreme value at once, over and over: each draw is a token that may be drawn.
TEST(SampleEdits, ExtremeValuesMakeNoNan) {
  const std::vector<float> extremes = {-kMax, -1e30f, -1, -kTiny, 0, kTiny, 1, 1e30f, kMax};
  std::mt19937_64 rng(4);
  const auto any = [&] { return extremes[rng() % extremes.size()]; };
  const auto any_positive = [&] { return extremes[5 + rng() % 4]; };
  ForEachTarget([&] {
    for (int round = 0; round < 1000; ++round) {
      SampleCase c = {.output = {0, 1, 1}, .suppressed = {3}};
      c.prompt = {2, 4};
      c.sampling = {.temperature = rng() % 4 == 0 ? 0 : any_positive(),
                    .top_k = static_cast<uint32_t>(rng() % 12),
                    .top_p = rng() % 2 == 0 ? 1 : kTiny,
                    .min_p = rng() % 2 == 0 ? 1 : extremes[4 + rng() % 2],
                    .repetition_penalty = any_positive(),
                    .frequency_penalty = any(),
                    .presence_penalty = any(),
                    .seed = rng()};
      for (int i = 0; i < 9; ++i) c.logits.push_back(any());
      for (uint32_t i = 0; i < 9; i += 2) c.logit_bias.push_back({i, any()});
      std::vector<float> edited = c.logits;
      std::vector<float> counts(edited.size(), std::nanf(""));
      EditLogits(c.Row(0), nullptr, 9, edited.data(), counts.data());
      const uint32_t token = TokenOf(c, round);
      ASSERT_LT(token, 9u);
      ASSERT_NE(token, 3u);
      for (int i = 0; i < 9; ++i) ASSERT_EQ(std::isfinite(edited[i]), i != 3) << edited[i];
      if (c.sampling.temperature == 0 || c.sampling.min_p == 1) {
        ASSERT_EQ(edited[token], *std::max_element(edited.begin(), edited.end()));
      }
    }
  });
}

TEST(SampleEdits, TinyTemperaturesDrawTheLargest) {
  SampleCase c = {.logits = {1, 2, 3, 3.5f}, .output = {3}, .suppressed = {2}};
  for (const float temperature : {1e-30f, 1e-38f, kTiny}) {
    c.sampling = {.temperature = temperature, .min_p = 0.5f, .presence_penalty = 1.25f};
    for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(TokenOf(c, i), 3u);
    c.sampling.presence_penalty = 2;
    for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(TokenOf(c, i), 1u);
  }
}

TEST(SampleEdits, MinPOneKeepsTheLargestOnly) {
  const float below = std::nextafter(2.0f, 0.0f);
  ForEachTarget([&] {
    for (const float temperature : {1e-3f, 1.0f, 1e6f}) {
      SampleCase c = {.logits = {below, 2, 1, below, 2, -9, 0, 0, 0, 0, 0, below}};
      c.sampling = {.temperature = temperature, .min_p = 1};
      std::vector<int> counts(c.logits.size());
      for (int64_t i = 0; i < 64; ++i) ++counts[TokenOf(c, i)];
      EXPECT_EQ(counts[1] + counts[4], 64);
      EXPECT_GT(counts[1], 10);
      EXPECT_GT(counts[4], 10);
    }
  });
}

// The float32 nearest to -ln 2 lies below it: half as likely as the largest, but for 2e-9.
TEST(SampleEdits, MinPIsExact) {
  const float below = -std::log(2.0f);
  const float above = std::nextafter(below, 0.0f);
  ForEachTarget([&] {
    SampleCase c = {.logits = {0, below, above}};
    c.sampling = {.min_p = 0.5f};
    std::vector<int> counts(3);
    for (int64_t i = 0; i < 100; ++i) ++counts[TokenOf(c, i)];
    EXPECT_EQ(counts[1], 0);
    EXPECT_GT(counts[2], 10);
  });
}

TEST(SampleEdits, TopKBeyondTheVocabularyIsOff) {
  SampleCase c = RandomCase(kSuppressed | kBias | kHot, 50, false, 12);
  SampleCase large = c;
  for (const uint32_t top_k : {50u, 51u, 1000u, ~uint32_t{0}}) {
    large.sampling.top_k = top_k;
    for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(TokenOf(large, i), TokenOf(c, i));
  }
}

// The last token of the output makes no difference for being told by `drawn`.
TEST(SampleEdits, ATokenInFlightIsOutput) {
  ThreadPool pool(2);
  for (int options = 0; options < kNumOptions; options += 3) {
    SampleCase c = RandomCase(options, 40, options % 2 == 0, 31 * options);
    for (const size_t num_output : {1u, 2u, 12u}) {
      c.output.resize(std::min(num_output, c.output.size()));
      LogitsRow row = c.Row(5);
      const uint32_t expected = TokenOf(c, 5);
      std::vector<uint32_t> drawn = {1, 2, c.output.back(), 3};
      row.slot = 2;
      row.context.output = row.context.output.first(c.output.size() - 1);
      row.context.output_in_flight = true;
      RowResult result;
      Sample(pool, {.logits = TensorView::Of(c.logits.data(), DType::kF32, {1, 40}),
                    .rows = &row,
                    .results = &result,
                    .drawn = drawn.data()});
      ASSERT_EQ(result.token, expected) << Describe(c, options);
      ASSERT_EQ(drawn, (std::vector<uint32_t>{1, 2, expected, 3}));
    }
  }
}

// Penalties that change nothing read no context.
TEST(SampleEdits, NoEditsWithoutAReason) {
  SampleCase c = {.logits = {1, 2}, .prompt = {0}, .output = {1}};
  EXPECT_FALSE(HasEdits(c.Row(0)));
  c.sampling.repetition_penalty = 1.5f;
  EXPECT_TRUE(HasEdits(c.Row(0)));
  c.output.clear();
  EXPECT_TRUE(HasEdits(c.Row(0)));
  c.sampling = {.frequency_penalty = 1, .presence_penalty = 1};
  EXPECT_FALSE(HasEdits(c.Row(0)));
  LogitsRow in_flight = c.Row(0);
  in_flight.context.output_in_flight = true;
  EXPECT_TRUE(HasEdits(in_flight));
  c.output = {0};
  EXPECT_TRUE(HasEdits(c.Row(0)));
  EXPECT_TRUE(HasEdits(SampleCase{.logit_bias = {{0, 1}}}.Row(0)));
  EXPECT_TRUE(HasEdits(SampleCase{.suppressed = {0}}.Row(0)));
}

TEST(SampleEditsDeathTest, ChecksTokensAndNumbers) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const std::vector<float> logits = {1, 2, 3};
  const SamplingParams penalized = {.repetition_penalty = 2};
  const auto run = [](const SampleCase& c) { SampleAll(c.logits, {c.Row(0)}, 1); };
  EXPECT_DEATH(run({.logits = logits, .sampling = penalized, .prompt = {3}}), "token 3 of 3");
  EXPECT_DEATH(run({.logits = logits, .sampling = penalized, .output = {7}}), "token 7 of 3");
  EXPECT_DEATH(run({.logits = logits, .logit_bias = {{3, 1}}}), "token 3 of 3");
  EXPECT_DEATH(run({.logits = logits, .suppressed = {4}}), "token 4 of 3");
  EXPECT_DEATH(run({.logits = logits, .logit_bias = {{1, 1}, {1, 1}}}), "token 1 after that of 1");
  EXPECT_DEATH(run({.logits = logits, .logit_bias = {{1, HUGE_VALF}}}), "bias inf of token 1");
  EXPECT_DEATH(run({.logits = logits, .sampling = {.min_p = 1.5f}}), "min_p 1.5");
  EXPECT_DEATH(run({.logits = logits, .sampling = {.repetition_penalty = 0}}),
               "repetition_penalty 0");
  EXPECT_DEATH(run({.logits = logits, .sampling = {.frequency_penalty = HUGE_VALF}}),
               "frequency_penalty inf");
  EXPECT_DEATH(run({.logits = logits, .sampling = {.presence_penalty = std::nanf("")}}),
               "presence_penalty");
  EXPECT_DEATH(run({.logits = logits, .sampling = {.temperature = HUGE_VALF}}), "temperature inf");
}

}  // namespace
}  // namespace winnow::cpu
