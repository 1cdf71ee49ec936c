#include "kernels/cpu/sample_edits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kernels/check.h"

namespace winnow::cpu {
namespace {

// To the nearest float32, never to an infinity.
float Saturated(double x) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(x, -kLargest, kLargest));
}

void CheckToken(uint32_t token, int64_t vocab) {
  WINNOW_CHECK(token < vocab) << "token " << token << " of " << vocab;
}

bool HasPenalties(const LogitsRow& row) {
  const SamplingParams& sampling = row.sampling;
  const TokenContext& context = row.context;
  const bool has_output = !context.output.empty() || context.output_in_flight;
  if (has_output && (sampling.frequency_penalty != 0 || sampling.presence_penalty != 0)) {
    return true;
  }
  return sampling.repetition_penalty != 1 && (has_output || !context.prompt.empty());
}

void AddBiases(std::span<const TokenBias> biases, int64_t vocab, float* logits) {
  int64_t last = -1;
  for (const auto& [token, bias] : biases) {
    CheckToken(token, vocab);
    WINNOW_CHECK(token > last) << "bias of token " << token << " after that of " << last;
    WINNOW_CHECK(std::isfinite(bias)) << "bias " << bias << " of token " << token;
    logits[token] = Saturated(double{logits[token]} + bias);
    last = token;
  }
}

// The logit of a token of prompt or output, `count` times in the output. No sum or product here
// comes near float64's range.
float Penalized(double logit, double count, const SamplingParams& sampling) {
  logit = logit > 0 ? logit / sampling.repetition_penalty : logit * sampling.repetition_penalty;
  logit -= sampling.frequency_penalty * count;
  if (count > 0) logit -= sampling.presence_penalty;
  return Saturated(logit);
}

// Only the counts of tokens that occur are ever written or read. They are exact below 2^24.
void Penalize(const LogitsRow& row, const uint32_t* drawn, int64_t vocab, float* logits,
              float* counts) {
  constexpr float kDone = -1;
  const std::span<const uint32_t> output = row.context.output;
  std::span<const uint32_t> prompt = row.context.prompt, in_flight;
  if (row.sampling.repetition_penalty == 1) prompt = {};
  if (row.context.output_in_flight) in_flight = {drawn + row.slot, 1};
  for (const auto tokens : {prompt, output, in_flight}) {
    for (const uint32_t token : tokens) {
      CheckToken(token, vocab);
      counts[token] = 0;
    }
  }
  for (const auto tokens : {output, in_flight}) {
    for (const uint32_t token : tokens) ++counts[token];
  }
  for (const auto tokens : {prompt, output, in_flight}) {
    for (const uint32_t token : tokens) {
      if (counts[token] == kDone) continue;
      logits[token] = Penalized(logits[token], counts[token], row.sampling);
      counts[token] = kDone;
    }
  }
}

bool AreAllTokens(std::span<const uint32_t> tokens, int64_t vocab) {
  if (static_cast<int64_t>(tokens.size()) < vocab) return false;
  std::vector<bool> found(vocab);
  for (const uint32_t token : tokens) found[token] = true;
  return std::find(found.begin(), found.end(), false) == found.end();
}

void Suppress(std::span<const uint32_t> suppressed, int64_t vocab, float* logits) {
  for (const uint32_t token : suppressed) CheckToken(token, vocab);
  if (AreAllTokens(suppressed, vocab)) return;
  for (const uint32_t token : suppressed) logits[token] = -std::numeric_limits<float>::infinity();
}

}  // namespace

bool HasEdits(const LogitsRow& row) {
  return !row.context.suppressed.empty() || !row.context.logit_bias.empty() || HasPenalties(row);
}

void EditLogits(const LogitsRow& row, const uint32_t* drawn, int64_t vocab, float* logits,
                float* counts) {
  AddBiases(row.context.logit_bias, vocab, logits);
  if (HasPenalties(row)) Penalize(row, drawn, vocab, logits, counts);
  // First by contract, last here: no edit changes a logit of -inf, but Saturated would.
  Suppress(row.context.suppressed, vocab, logits);
}

}  // namespace winnow::cpu
