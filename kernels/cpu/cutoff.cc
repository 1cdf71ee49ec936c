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

uint32_t Bin(const Candidate& candidate, Digit digit) {
  return OrderedKey(candidate.logit) >> digit.shift & ((1u << digit.bits) - 1);
}

Cutoff EndAt(const Candidate& candidate) { return {candidate.logit, candidate.token}; }

// The last in the order.
Cutoff EndAtLast(const std::vector<Candidate>& candidates) {
  const Candidate* last = &candidates.front();
  for (const Candidate& c : candidates) {
    if (c.logit <= last->logit) last = &c;
  }
  return EndAt(*last);
}

}  // namespace

Cutoff ShortestPrefix(std::vector<Candidate> candidates, double target) {
  PrefixSearch search(target);
  for (size_t digit = 0; digit < kDigits.size(); ++digit) {
    search.StartDigit();
    for (const Candidate& c : candidates) search.Add(Bin(c, kDigits[digit]), c.weight);
    const uint32_t bin = search.FindBin();
    if (bin == kMaxBins) {
      // Either all weights together are not enough, or the sum of these candidates was when they
      // were added in another grouping, and now rounds to less.
      return digit == 0 ? Cutoff() : EndAtLast(candidates);
    }
    std::erase_if(candidates, [&](const Candidate& c) { return Bin(c, kDigits[digit]) != bin; });
  }
  // What is left has one logit and stands in the order of the ids.
  for (const Candidate& c : candidates) {
    if (search.AddLast(c.weight)) return EndAt(c);
  }
  return EndAtLast(candidates);
}

}  // namespace winnow::cpu
