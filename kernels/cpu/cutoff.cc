#include "kernels/cpu/cutoff.h"

#include <array>
#include <bit>
#include <cstddef>
#include <vector>

namespace winnow::cpu {
namespace {

// The bits of a logit's key that one pass looks at: shift and width, most significant first.
struct Digit {
  int shift;
  int bits;
};
constexpr std::array<Digit, 3> kDigits = {{{21, 11}, {10, 11}, {0, 10}}};
constexpr int kMaxBins = 1 << 11;

// Unsigned integers in the order of the floats; 0 and -0 are equal.
uint32_t OrderedKey(float logit) {
  const uint32_t bits = std::bit_cast<uint32_t>(logit + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct Candidate {
  uint32_t key = 0;
  int32_t token = 0;
  double weight = 0;
};

// Looks for the end of the prefix, digit by digit.
class PrefixSearch {
 public:
  explicit PrefixSearch(double target) : target_(target) {}

  void StartDigit() { mass_.fill(0); }
  void Add(uint32_t bin, double weight) { mass_[bin] += weight; }
  // The bin in which the prefix ends; what lies above it is in the prefix. kMaxBins: the weights do
  // not reach the target.
  uint32_t FindBin() {
    for (uint32_t bin = kMaxBins; bin-- > 0;) {
      if (mass_[bin] == 0) continue;
      if (before_ + mass_[bin] >= target_) return bin;
      before_ += mass_[bin];
    }
    return kMaxBins;
  }
  // Adds single weights in order; true at the one that reaches the target.
  bool AddLast(double weight) {
    before_ += weight;
    return before_ >= target_;
  }

 private:
  double target_;
  double before_ = 0;  // weight of what is in the prefix for sure
  std::array<double, kMaxBins> mass_;
};

uint32_t Bin(uint32_t key, Digit digit) { return key >> digit.shift & ((1u << digit.bits) - 1); }

double Weight(const float* weights, int64_t token) {
  return weights == nullptr ? 1.0 : weights[token];
}

// The sum of these candidates reached the target when they were added in another grouping, and now
// rounds to less: all belong.
Cutoff LastOf(const std::vector<Candidate>& candidates, const float* logits) {
  Candidate last = candidates.front();
  for (const Candidate& c : candidates) {
    if (c.key <= last.key) last = c;
  }
  return {logits[last.token], last.token};
}

}  // namespace

Cutoff ShortestPrefix(const float* logits, const float* weights, int64_t vocab, double target) {
  PrefixSearch search(target);
  search.StartDigit();
  for (int64_t i = 0; i < vocab; ++i) {
    search.Add(Bin(OrderedKey(logits[i]), kDigits[0]), Weight(weights, i));
  }
  uint32_t bin = search.FindBin();
  if (bin == kMaxBins) return Cutoff();
  std::vector<Candidate> candidates;
  for (int64_t i = 0; i < vocab; ++i) {
    const Candidate candidate = {OrderedKey(logits[i]), static_cast<int32_t>(i),
                                 Weight(weights, i)};
    if (candidate.weight > 0 && Bin(candidate.key, kDigits[0]) == bin)
      candidates.push_back(candidate);
  }

  for (size_t digit = 1; digit < kDigits.size(); ++digit) {
    search.StartDigit();
    for (const Candidate& c : candidates) search.Add(Bin(c.key, kDigits[digit]), c.weight);
    bin = search.FindBin();
    if (bin == kMaxBins) return LastOf(candidates, logits);
    std::erase_if(candidates,
                  [&](const Candidate& c) { return Bin(c.key, kDigits[digit]) != bin; });
  }

  // All candidates have the same logit and stand in the order of their ids.
  const Candidate* last = &candidates.front();
  for (const Candidate& c : candidates) {
    last = &c;
    if (search.AddLast(c.weight)) break;
  }
  return {logits[last->token], last->token};
}

}  // namespace winnow::cpu
