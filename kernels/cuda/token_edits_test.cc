// Packing of sampling requests: host code, so that it needs no GPU.
#include "kernels/cuda/token_edits.h"

#include <cstdint>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"

namespace winnow::cuda {
namespace {

constexpr int64_t kVocab = 10;

std::vector<TokenEdit> EditsOf(const LogitsRow& row) {
  std::vector<TokenEdit> edits;
  const SampleRow packed = PackRow(row, kVocab, &edits);
  EXPECT_EQ(packed.first_edit, 0);
  EXPECT_EQ(packed.num_edits, static_cast<int32_t>(edits.size()));
  return edits;
}

TEST(TokenEdits, ARowWithoutContextHasNone) {
  LogitsRow row;
  EXPECT_TRUE(EditsOf(row).empty());
  const std::vector<uint32_t> tokens = {1, 2, 3};
  row.context.prompt = tokens;
  row.context.output = tokens;
  EXPECT_TRUE(EditsOf(row).empty());  // no penalty reads them
}

// The kernel adds it, where a penalty counts it at all.
TEST(TokenEdits, ATokenInFlightIsNotInTheList) {
  LogitsRow row;
  row.slot = 4;
  row.context.output_in_flight = true;
  std::vector<TokenEdit> edits;
  EXPECT_EQ(PackRow(row, kVocab, &edits).slot, 4);
  EXPECT_FALSE(PackRow(row, kVocab, &edits).counts_drawn);
  row.sampling.presence_penalty = 1;
  EXPECT_TRUE(PackRow(row, kVocab, &edits).counts_drawn);
  EXPECT_TRUE(edits.empty());
}

TEST(TokenEdits, EachTokenOnceWithAllThatConcernsIt) {
  const std::vector<uint32_t> prompt = {7, 2, 7}, output = {2, 5, 2}, suppressed = {5, 5};
  const std::vector<TokenBias> biases = {{2, 0.5f}, {9, -1}};
  LogitsRow row;
  row.context = {
      .prompt = prompt, .output = output, .logit_bias = biases, .suppressed = suppressed};
  row.sampling.repetition_penalty = 1.5f;
  const std::vector<TokenEdit> edits = EditsOf(row);
  ASSERT_EQ(edits.size(), 4u);
  EXPECT_EQ(edits[0].token, 2u);
  EXPECT_EQ(edits[0].count, 2);
  EXPECT_EQ(edits[0].bias, 0.5f);
  EXPECT_FALSE(edits[0].suppressed);
  EXPECT_EQ(edits[1].token, 5u);
  EXPECT_EQ(edits[1].count, 1);
  EXPECT_TRUE(edits[1].suppressed);
  EXPECT_EQ(edits[2].token, 7u);
  EXPECT_EQ(edits[2].count, 0);  // in the prompt only
  EXPECT_EQ(edits[3].token, 9u);
  EXPECT_EQ(edits[3].count, TokenEdit::kNoPenalty);
  EXPECT_EQ(edits[3].bias, -1);
}

TEST(TokenEdits, OnlyTheRepetitionPenaltyReadsThePrompt) {
  const std::vector<uint32_t> prompt = {1}, output = {3};
  LogitsRow row;
  row.context.prompt = prompt;
  row.context.output = output;
  row.sampling.presence_penalty = 1;
  const std::vector<TokenEdit> edits = EditsOf(row);
  ASSERT_EQ(edits.size(), 1u);
  EXPECT_EQ(edits[0].token, 3u);
}

TEST(TokenEdits, NothingIsSuppressedWhereEverythingIs) {
  std::vector<uint32_t> all(kVocab);
  std::iota(all.begin(), all.end(), 0u);
  LogitsRow row;
  row.context.suppressed = all;
  for (const TokenEdit& edit : EditsOf(row)) EXPECT_FALSE(edit.suppressed);
  all.pop_back();
  row.context.suppressed = all;
  for (const TokenEdit& edit : EditsOf(row)) EXPECT_TRUE(edit.suppressed);
}

TEST(TokenEdits, FollowThoseOfOtherRows) {
  const std::vector<uint32_t> suppressed = {4};
  LogitsRow row;
  row.context.suppressed = suppressed;
  std::vector<TokenEdit> edits;
  PackRow(row, kVocab, &edits);
  const SampleRow second = PackRow(row, kVocab, &edits);
  EXPECT_EQ(second.first_edit, 1);
  EXPECT_EQ(second.num_edits, 1);
  EXPECT_EQ(edits.size(), 2u);
}

TEST(TokenEdits, ScoredRowsHaveNoContext) {
  const std::vector<uint32_t> suppressed = {4};
  LogitsRow row;
  row.purpose = RowPurpose::kScore;
  row.score_token = 3;
  row.context.suppressed = suppressed;
  std::vector<TokenEdit> edits;
  const SampleRow packed = PackRow(row, kVocab, &edits);
  EXPECT_TRUE(packed.scores_token);
  EXPECT_TRUE(packed.reports);
  EXPECT_EQ(packed.score_token, 3u);
  EXPECT_TRUE(edits.empty());
}

}  // namespace
}  // namespace winnow::cuda
