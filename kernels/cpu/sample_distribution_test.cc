// Counts of draws against the exact distribution, for each option alone and for combinations. Seeds
// are fixed, so that nothing flakes: a correct sampler would fail with probability 1e-6 for each
// case if they were not.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/sample_reference.h"
#include "kernels/philox.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using testing::ForEachTarget;
using testing::RandomFloats;

constexpr int64_t kDraws = 100'000;
constexpr uint64_t kSeed = 77;

// Tokens expected less often than this are counted as one.
constexpr double kRare = 10;

struct Fit {
  double chi_square = 0;
  int degrees = -1;

  void Add(double count, double expected) {
    chi_square += (count - expected) * (count - expected) / expected;
    ++degrees;
  }
  // Exceeded with probability 1e-6. Wilson-Hilferty: the cube root of chi^2 / n is about normal,
  // and 4.753 deviations are exceeded that often.
  double Limit() const {
    const double spread = 2.0 / (9 * degrees);
    return degrees * std::pow(1 - spread + 4.753 * std::sqrt(spread), 3);
  }
};

// A third of the draws differ in position, a third in the request's seed, a third in the choice.
std::vector<LogitsRow> Rows(const SampleCase& c) {
  std::vector<LogitsRow> rows;
  for (int64_t i = 0; i < kDraws; ++i) {
    rows.push_back(c.Row(i % 3 == 0 ? i : 77));
    uint64_t& seed = rows.back().sampling.seed;
    if (i % 3 == 0) seed = kSeed;
    if (i % 3 == 1) seed = 1000 + i;
    if (i % 3 == 2) seed = DeriveSeed(kSeed, static_cast<uint32_t>(i));
  }
  return rows;
}

void ExpectFit(const SampleCase& c, const std::string& name) {
  const ExactDistribution exact = Distribution(c);
  ASSERT_GT(exact.margin, kTooClose) << name << " may cut off another token";
  std::vector<int64_t> counts(c.logits.size());
  for (const RowResult& result : SampleAll(c.logits, Rows(c))) ++counts.at(result.token);
  Fit fit;
  double rare_count = 0;
  double rare_expected = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double count = static_cast<double>(counts[i]);
    const double expected = exact.mass[i] * static_cast<double>(kDraws);
    if (expected == 0) {
      ASSERT_EQ(counts[i], 0) << name << ": token " << i << " may not be drawn";
    } else if (expected < kRare) {
      rare_count += count;
      rare_expected += expected;
    } else {
      fit.Add(count, expected);
    }
  }
  // Where they are too rare even together: four times as many as kRare come up once in 1e12.
  if (rare_expected >= kRare) {
    fit.Add(rare_count, rare_expected);
  } else {
    EXPECT_LT(rare_count, 4 * kRare) << name;
  }
  ASSERT_GE(fit.degrees, 1) << name << " leaves nothing to draw";
  EXPECT_LT(fit.chi_square, fit.Limit()) << name << ", " << fit.degrees << " degrees";
}

// Prompt, output and 60 logits; no option is set.
SampleCase Plain() {
  SampleCase c = {.logits = RandomFloats(60, 21, -3, 3)};
  c.prompt = {0, 5, 5, 7, 30, 31, 32, 59};
  c.output = {5, 9, 9, 9, 9, 31, 40, 41, 42, 42, 59};
  return c;
}

const std::vector<TokenBias> kBiases = {{0, 2.5f}, {9, -1}, {13, 1.5f}, {14, -100}, {58, 0.25f}};
const std::vector<uint32_t> kSuppressed = {3, 9, 11, 12, 40, 59};

TEST(SampleDistribution, Temperature) {
  SampleCase c = Plain();
  for (const float temperature : {0.2f, 0.7f, 1.0f, 2.5f, 30.0f}) {
    c.sampling = {.temperature = temperature};
    ExpectFit(c, "temperature " + std::to_string(temperature));
  }
}

TEST(SampleDistribution, TopK) {
  SampleCase c = Plain();
  for (const uint32_t top_k : {2u, 7u, 59u, 60u}) {
    c.sampling = {.top_k = top_k};
    ExpectFit(c, "top_k " + std::to_string(top_k));
  }
}

TEST(SampleDistribution, TopP) {
  SampleCase c = Plain();
  for (const float top_p : {0.3f, 0.6f, 0.95f, 0.999f}) {
    c.sampling = {.top_p = top_p};
    ExpectFit(c, "top_p " + std::to_string(top_p));
  }
}

TEST(SampleDistribution, MinP) {
  SampleCase c = Plain();
  for (const float min_p : {0.01f, 0.1f, 0.5f}) {
    c.sampling = {.min_p = min_p};
    ExpectFit(c, "min_p " + std::to_string(min_p));
  }
}

TEST(SampleDistribution, RepetitionPenalty) {
  SampleCase c = Plain();
  for (const float penalty : {0.6f, 1.3f, 2.0f}) {
    c.sampling = {.repetition_penalty = penalty};
    ExpectFit(c, "repetition_penalty " + std::to_string(penalty));
  }
}

TEST(SampleDistribution, FrequencyPenalty) {
  SampleCase c = Plain();
  for (const float penalty : {-0.7f, 0.5f, 2.0f}) {
    c.sampling = {.frequency_penalty = penalty};
    ExpectFit(c, "frequency_penalty " + std::to_string(penalty));
  }
}

TEST(SampleDistribution, PresencePenalty) {
  SampleCase c = Plain();
  for (const float penalty : {-1.5f, 0.5f, 2.0f}) {
    c.sampling = {.presence_penalty = penalty};
    ExpectFit(c, "presence_penalty " + std::to_string(penalty));
  }
}

TEST(SampleDistribution, LogitBias) {
  SampleCase c = Plain();
  c.logit_bias = kBiases;
  ExpectFit(c, "logit_bias");
}

TEST(SampleDistribution, Suppressed) {
  SampleCase c = Plain();
  c.suppressed = kSuppressed;
  ExpectFit(c, "suppressed");
}

TEST(SampleDistribution, TemperatureTopKTopP) {
  SampleCase c = Plain();
  for (const float temperature : {0.3f, 1.0f, 2.5f}) {
    for (const uint32_t top_k : {7u, 59u}) {
      for (const float top_p : {0.95f, 0.6f}) {
        c.sampling = {.temperature = temperature, .top_k = top_k, .top_p = top_p};
        const std::string name = "temperature " + std::to_string(temperature) + ", top_k " +
                                 std::to_string(top_k) + ", top_p " + std::to_string(top_p);
        ExpectFit(c, name);
      }
    }
  }
}

// Steps that do not commute, each pair where the other order gives another distribution.
TEST(SampleDistribution, Order) {
  const SampleCase plain = {.logits = {3, 1, -0.5f, 0.25f}, .prompt = {0, 1}, .output = {0, 2, 2}};
  SampleCase c = plain;
  c.sampling = {.repetition_penalty = 2};
  c.logit_bias = {{0, -2}, {1, 2}, {2, 1.5f}};
  ExpectFit(c, "logit_bias, repetition_penalty");
  c = plain;
  c.sampling = {.repetition_penalty = 2, .frequency_penalty = -0.75f};
  ExpectFit(c, "repetition_penalty, frequency_penalty");
  c.sampling = {.repetition_penalty = 2, .presence_penalty = 0.75f};
  ExpectFit(c, "repetition_penalty, presence_penalty");
  c.sampling = {.temperature = 2, .frequency_penalty = 0.75f};
  ExpectFit(c, "frequency_penalty, temperature");

  // Of 4 : 3 : 2 : 1 the first three stay: then the first two are three quarters, else not.
  c = {.logits = {std::log(4.0f), std::log(3.0f), std::log(2.0f), 0}};
  c.sampling = {.top_p = 0.75f, .min_p = 0.4f};
  ExpectFit(c, "min_p, top_p");
  c.sampling = {.top_k = 3, .top_p = 0.75f};
  ExpectFit(c, "top_k, top_p");
  c.sampling = {.temperature = 2, .min_p = 0.6f};  // without the temperature the third goes
  ExpectFit(c, "temperature, min_p");
}

TEST(SampleDistribution, Combinations) {
  SampleCase c = Plain();
  c.sampling = {.temperature = 1.7f, .min_p = 0.2f};
  ExpectFit(c, "temperature, min_p");
  c.sampling = {.temperature = 1.3f, .top_k = 12, .top_p = 0.8f, .min_p = 0.05f};
  ExpectFit(c, "min_p, top_k, top_p");
  c.sampling = {.temperature = 0.8f,
                .repetition_penalty = 1.4f,
                .frequency_penalty = 0.3f,
                .presence_penalty = 0.6f};
  ExpectFit(c, "all penalties");
  c.logit_bias = kBiases;
  ExpectFit(c, "biases, penalties");
  c.suppressed = kSuppressed;
  ExpectFit(c, "suppressed, biases, penalties");
}

TEST(SampleDistribution, Everything) {
  SampleCase c = Plain();
  c.sampling = {.temperature = 1.3f,
                .top_k = 20,
                .top_p = 0.9f,
                .min_p = 0.02f,
                .repetition_penalty = 1.4f,
                .frequency_penalty = 0.3f,
                .presence_penalty = -0.6f};
  c.logit_bias = kBiases;
  c.suppressed = kSuppressed;
  ForEachTarget([&] { ExpectFit(c, "everything"); });
}

}  // namespace
}  // namespace winnow::cpu
