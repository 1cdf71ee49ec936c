// What SampleArgs (kernels/ops/sample.h) says a draw is, in float64 and without regard to speed:
// the oracle of the sampling tests. Shares no code with the op.
//
//   const SampleCase c = {.logits = logits, .sampling = {.min_p = 0.1f}, .suppressed = {2}};
//   double margin = 1;
//   const int64_t token = ExactDraw(Distribution(c), uniform, &margin);
//   if (margin >= kTooClose) EXPECT_EQ(SampleAll(c.logits, {c.Row(position)})[0].token, token);
#ifndef WINNOW_KERNELS_CPU_SAMPLE_REFERENCE_H_
#define WINNOW_KERNELS_CPU_SAMPLE_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/ops/sample.h"

namespace winnow::cpu {

// All that one draw depends on but its position. Owns what a TokenContext only points to.
struct SampleCase {
  std::vector<float> logits = {};
  SamplingParams sampling = {};
  std::vector<uint32_t> prompt = {};
  std::vector<uint32_t> output = {};
  std::vector<TokenBias> logit_bias = {};
  std::vector<uint32_t> suppressed = {};

  // A row that samples; points into this.
  LogitsRow Row(int64_t position) const;
};

// A decision nearer than this to falling otherwise may do so in float32.
inline constexpr double kTooClose = 1e-5;

// Steps 1 to 5: the logits that a token is chosen by.
std::vector<double> EditedLogits(const SampleCase& c);

// The token of temperature 0. *margin: how far its logit lies above the next lower one.
int64_t GreedyToken(const SampleCase& c, double* margin);

struct ExactDistribution {
  std::vector<double> mass;  // [vocab], sums to 1
  double margin = 1;         // how near a token is to being cut off or kept after all
};

// Steps 6 to 9 and the softmax. REQUIRES: temperature > 0.
ExactDistribution Distribution(const SampleCase& c);

// Step 10 with its uniform. *margin: how near the uniform is to another token's part.
int64_t ExactDraw(const ExactDistribution& exact, double uniform, double* margin);

// Runs the op: one result per row, all of which have the same logits.
std::vector<RowResult> SampleAll(std::vector<float> logits, const std::vector<LogitsRow>& rows,
                                 int num_threads = 2);

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_SAMPLE_REFERENCE_H_
