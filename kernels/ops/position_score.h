// Scores in the place of the router's, for experiments: what is the learned choice of tokens worth?
//
// They depend on a token's position (and head and seed) only, so any cut of a prompt means the
// same, and are finite and above 0, so a head keeps as many tokens as its buffer holds.
#ifndef WINNOW_KERNELS_OPS_POSITION_SCORE_H_
#define WINNOW_KERNELS_OPS_POSITION_SCORE_H_

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/ops/attention.h"

namespace winnow {

// Positions up to here have recency scores of their own; those beyond have the last one's.
inline constexpr int64_t kLastRecencyPosition = 0x7f7fffff - 0x00800000;

// Is the score PositionScore's?
constexpr bool ScoresPosition(RoutingMethod method) {
  return method == RoutingMethod::kRecency || method == RoutingMethod::kRandom;
}

// Strictly increasing, so that a head keeps its newest tokens: the bits of positive floats are in
// the floats' order, and whole numbers as floats would be equal from 2^24 on.
inline float RecencyScore(int64_t position) {
  constexpr int64_t kSmallestNormal = 0x00800000;
  const int64_t bits = kSmallestNormal + std::min(position, kLastRecencyPosition);
  return std::bit_cast<float>(static_cast<uint32_t>(bits));
}

// A mixing step of splitmix64 (Steele et al. 2014): a bijection without visible structure.
constexpr uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Uniform in (0, 1], in steps of 2^-24: a head keeps a random sample of all its tokens.
inline float RandomScore(uint64_t seed, int64_t head, int64_t position) {
  const uint64_t bits = MixBits(MixBits(MixBits(seed) ^ static_cast<uint64_t>(head)) ^
                                static_cast<uint64_t>(position));
  return static_cast<float>((bits >> 40) + 1) * 0x1p-24f;
}

// REQUIRES: ScoresPosition(weights.method), position >= 0.
inline float PositionScore(const RouterWeights& weights, int64_t head, int64_t position) {
  return weights.method == RoutingMethod::kRecency ? RecencyScore(position)
                                                   : RandomScore(weights.seed, head, position);
}

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_POSITION_SCORE_H_
