#include "kernels/cpu/cutoff.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace winnow::cpu {
namespace {

// Ids in order: largest logit first, of equal ones the lowest id; without those of weight 0.
std::vector<int64_t> Sorted(const std::vector<float>& logits, const std::vector<float>& weights) {
  std::vector<int64_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  std::erase_if(ids, [&](int64_t id) { return !weights.empty() && weights[id] == 0; });
  return ids;
}

Cutoff Find(const std::vector<float>& logits, const std::vector<float>& weights, double target) {
  std::vector<Candidate> candidates;
  for (int64_t i = 0; i < static_cast<int64_t>(logits.size()); ++i) {
    const float weight = weights.empty() ? 1.0f : weights[i];
    if (weight > 0) candidates.push_back({logits[i], weight, i});
  }
  return ShortestPrefix(std::move(candidates), target);
}

void ExpectLast(const std::vector<float>& logits, const std::vector<float>& weights,
                double target) {
  const std::vector<int64_t> ids = Sorted(logits, weights);
  double sum = 0;
  size_t last = 0;
  for (; last < ids.size(); ++last) {
    sum += weights.empty() ? 1.0 : weights[ids[last]];
    if (sum >= target) break;
  }
  const Cutoff cutoff = Find(logits, weights, target);
  if (last == ids.size()) {
    EXPECT_EQ(cutoff.logit, -INFINITY) << "target " << target;
    return;
  }
  EXPECT_EQ(cutoff.token, ids[last]) << "target " << target << " of " << logits.size();
  EXPECT_EQ(cutoff.logit, logits[ids[last]]);
}

TEST(Cutoff, SmallCases) {
  const std::vector<float> none;
  ExpectLast({3}, none, 1);
  ExpectLast({3}, none, 2);
  ExpectLast({1, 3, 2}, none, 1);
  ExpectLast({1, 3, 2}, none, 2);
  ExpectLast({1, 3, 2}, none, 3);
  ExpectLast({5, 5, 5, 5}, none, 3);
  ExpectLast({-1, -2, 1, 2}, none, 3);
  // 0 and -0 are equal: the lower id comes first.
  ExpectLast({-0.0f, 0.0f, -1}, none, 1);
  ExpectLast({0.0f, -0.0f, 1}, none, 2);
  ExpectLast({-3e38f, 3e38f, 1e-45f, -1e-45f}, none, 3);
  ExpectLast({4, 3, 2, 1}, {0, 0.5, 0.25, 0.25}, 0.5);
  ExpectLast({4, 3, 2, 1}, {0, 0.5, 0.25, 0.25}, 0.75);
  ExpectLast({4, 3, 2, 1}, {0, 0.5, 0.25, 0.25}, 2);
}

// Weights are multiples of 2^-10, so that all sums are exact.
TEST(Cutoff, AgreesWithSorting) {
  std::mt19937_64 rng(5);
  for (int round = 0; round < 300; ++round) {
    const int64_t size = 1 + static_cast<int64_t>(rng() % 3000);
    // Few different logits: many ties; or close ones, which differ in the last bits only.
    const int kind = round % 3;
    std::vector<float> logits(size);
    std::vector<float> weights(size);
    double total = 0;
    for (int64_t i = 0; i < size; ++i) {
      const float x = static_cast<float>(static_cast<int64_t>(rng() % 2001) - 1000);
      logits[i] = kind == 0 ? std::floor(x / 200) : kind == 1 ? 7 + x * 0x1p-21f : x * 0.01f;
      weights[i] = static_cast<float>(rng() % 64) * 0x1p-10f;
      total += weights[i];
    }
    for (int i = 0; i < 5; ++i) {
      ExpectLast(logits, {}, static_cast<double>(1 + rng() % size));
      if (total > 0)
        ExpectLast(logits, weights, total * static_cast<double>(1 + rng() % 1000) / 1000);
    }
    ExpectLast(logits, weights, total + 0x1p-10);
  }
}

// Sums in other groupings may round to other sides of the target: the end may move by a token,
// never further.
TEST(Cutoff, InexactSums) {
  std::mt19937_64 rng(6);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> logits(1000);
    std::vector<float> weights(1000);
    for (float& x : logits) x = std::floor(uniform(rng) * 8);
    for (float& x : weights) x = uniform(rng);
    const std::vector<int64_t> ids = Sorted(logits, weights);
    const size_t end = rng() % ids.size();
    double target = 0;
    for (size_t i = 0; i <= end; ++i) target += weights[ids[i]];
    const Cutoff cutoff = Find(logits, weights, target);
    const auto found = std::find(ids.begin(), ids.end(), cutoff.token) - ids.begin();
    EXPECT_LE(std::abs(found - static_cast<int64_t>(end)), 1);
  }
}

}  // namespace
}  // namespace winnow::cpu
