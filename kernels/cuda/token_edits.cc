#include "kernels/cuda/token_edits.h"

#include <algorithm>
#include <span>

#include "kernels/check.h"

namespace winnow::cuda {
namespace {

bool HasPenalties(const SamplingParams& sampling) {
  return sampling.repetition_penalty != 1 || sampling.frequency_penalty != 0 ||
         sampling.presence_penalty != 0;
}

// One thing that the context says of a token.
TokenEdit Biased(const TokenBias& bias) { return {.token = bias.token, .bias = bias.bias}; }
TokenEdit InPrompt(uint32_t token) { return {.token = token, .count = 0}; }
TokenEdit InOutput(uint32_t token) { return {.token = token, .count = 1}; }
TokenEdit Suppressed(uint32_t token) { return {.token = token, .suppressed = true}; }

// `edit` also does what `other`, of the same token, does.
void Merge(const TokenEdit& other, TokenEdit* edit) {
  edit->bias += other.bias;
  edit->suppressed |= other.suppressed;
  if (other.count == TokenEdit::kNoPenalty) return;
  edit->count = std::max(edit->count, 0) + other.count;
}

// Sorts by token and makes one edit of those of one token, from `first` on.
void MergeFrom(size_t first, std::vector<TokenEdit>* edits) {
  std::sort(edits->begin() + first, edits->end(),
            [](const TokenEdit& a, const TokenEdit& b) { return a.token < b.token; });
  size_t end = first;
  for (size_t i = first; i < edits->size(); ++i) {
    if (end > first && (*edits)[end - 1].token == (*edits)[i].token) {
      Merge((*edits)[i], &(*edits)[end - 1]);
    } else {
      (*edits)[end++] = (*edits)[i];
    }
  }
  edits->resize(end);
}

// If every token is suppressed, none is.
void AllowSome(size_t first, int64_t vocab, std::vector<TokenEdit>* edits) {
  const auto begin = edits->begin() + first;
  const auto suppressed = [](const TokenEdit& edit) { return edit.suppressed; };
  if (std::count_if(begin, edits->end(), suppressed) < vocab) return;
  std::for_each(begin, edits->end(), [](TokenEdit& edit) { edit.suppressed = false; });
}

void AppendEdits(const LogitsRow& row, int64_t vocab, std::vector<TokenEdit>* edits) {
  const size_t first = edits->size();
  const TokenContext& context = row.context;
  for (const TokenBias& bias : context.logit_bias) edits->push_back(Biased(bias));
  for (const uint32_t token : context.suppressed) edits->push_back(Suppressed(token));
  if (HasPenalties(row.sampling)) {
    if (row.sampling.repetition_penalty != 1) {
      for (const uint32_t token : context.prompt) edits->push_back(InPrompt(token));
    }
    for (const uint32_t token : context.output) edits->push_back(InOutput(token));
  }
  for (size_t i = first; i < edits->size(); ++i) {
    WINNOW_CHECK((*edits)[i].token < vocab) << "token " << (*edits)[i].token << " of " << vocab;
  }
  MergeFrom(first, edits);
  AllowSome(first, vocab, edits);
}

}  // namespace

SampleRow PackRow(const LogitsRow& row, int64_t vocab, std::vector<TokenEdit>* edits) {
  WINNOW_CHECK(row.num_top <= kMaxTopLogprobs) << row.num_top;
  const SamplingParams& sampling = row.sampling;
  SampleRow packed;
  packed.num_top = row.num_top;
  packed.scores_token = row.purpose == RowPurpose::kScore;
  packed.reports = row.want_logprobs || row.num_top > 0 || packed.scores_token;
  packed.first_edit = static_cast<int32_t>(edits->size());
  if (packed.scores_token) {
    WINNOW_CHECK(row.score_token < vocab) << "token " << row.score_token << " of " << vocab;
    packed.score_token = row.score_token;
    return packed;
  }
  WINNOW_CHECK(sampling.temperature >= 0) << "temperature " << sampling.temperature;
  WINNOW_CHECK(sampling.top_p > 0 && sampling.top_p <= 1) << "top_p " << sampling.top_p;
  WINNOW_CHECK(sampling.min_p >= 0 && sampling.min_p <= 1) << "min_p " << sampling.min_p;
  packed.position = row.position;
  packed.seed = sampling.seed;
  packed.temperature = sampling.temperature;
  packed.top_k = sampling.top_k;
  packed.top_p = sampling.top_p;
  packed.min_p = sampling.min_p;
  packed.repetition_penalty = sampling.repetition_penalty;
  packed.frequency_penalty = sampling.frequency_penalty;
  packed.presence_penalty = sampling.presence_penalty;
  packed.slot = row.slot;
  packed.counts_drawn = row.context.output_in_flight && HasPenalties(sampling);
  AppendEdits(row, vocab, edits);
  packed.num_edits = static_cast<int32_t>(edits->size()) - packed.first_edit;
  return packed;
}

}  // namespace winnow::cuda
