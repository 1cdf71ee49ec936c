#include "tests/model/reference_comparison.h"

#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "gtest/gtest.h"
#include "tests/model/served_checkpoint.h"
#include "tests/reference/reference_model.h"
#include "tools/random_checkpoint_lib.h"

namespace winnow {
namespace {

constexpr int kVocab = 61;

std::string ConfigJson(const ReferenceCase& c) {
  const bool evicts = c.attn.find("lte") != std::string::npos;
  return absl::Substitute(R"({
    "model_type": "$0", "hidden_size": 32, "num_hidden_layers": 3, "vocab_size": $1,
    "intermediate_size": 40, "norm_eps": 1e-6, "conv_size": 4, "tie_word_embeddings": false,
    $2, "attn": $3})",
                          evicts ? "hybrid_gated_deltanet" : "gated_deltanet", kVocab,
                          c.gated_delta, c.attn.empty() ? "null" : c.attn);
}

std::string Eviction(
    int num_heads, int num_kv_heads, int window, int buffer, int sinks,
    const std::string& more = R"("conv_size": [3, 3, 3], "conv_dilation": [2, 2, 2])") {
  return absl::Substitute(R"({"layers": [1, 2], "attn_type": "lte", "num_heads": $0,
    "num_kv_heads": $1, "window_size": $2, "buffer_size": $3, "sink_size": $4, "rope_theta": 1000.0,
    "qkv_bias": false, $5})",
                          num_heads, num_kv_heads, window, buffer, sinks, more);
}

std::string Shared(const std::string& shared, const std::string& method) {
  return absl::Substitute(
      R"("conv_size": [3, 3, 3], "conv_dilation": [2, 2, 2], "routing_shared": "$0", "routing_method": "$1")",
      shared, method);
}

// The log-probabilities of the prompt's tokens, and of the one after it.
void ExpectEquals(const Answer& answer, const std::vector<uint32_t>& prompt,
                  const std::vector<reference::Vector>& expected, double bound) {
  ASSERT_EQ(answer.finish.reason, FinishReason::kLength) << answer.finish.error;
  ASSERT_EQ(answer.prompt_logprobs.size(), prompt.size() - 1);
  ASSERT_EQ(answer.tokens.size(), 1u);
  std::vector<OutputToken> rows = answer.prompt_logprobs;
  rows.push_back(answer.tokens[0]);
  for (size_t t = 0; t < rows.size(); ++t) {
    if (t + 1 < prompt.size()) {
      EXPECT_EQ(rows[t].token, prompt[t + 1]);
    }
    EXPECT_NEAR(rows[t].logprob, expected[t][rows[t].token], bound) << "position " << t;
    for (const TokenLogprob& top : rows[t].top) {
      EXPECT_NEAR(top.logprob, expected[t][top.token], bound) << "position " << t;
    }
  }
}

}  // namespace

std::vector<ReferenceCase> ReferenceCases() {
  const std::string plain = R"("num_heads": 2, "head_dim": 16, "expand_v": 1)";
  return {
      {.name = "gdn"},
      {.name = "gdn_v_heads",
       .gated_delta = R"("num_heads": 2, "num_v_heads": 6, "head_dim": 8, "expand_v": 2)"},
      {.name = "gdn_expand_half",
       .gated_delta = R"("num_heads": 3, "head_dim": 10, "expand_v": 0.5)"},
      {.name = "gdn_negative_eigenvalues", .gated_delta = plain + R"(, "allow_neg_eigval": true)"},
      {.name = "gdn_no_convolution", .gated_delta = plain + R"(, "use_short_conv": false)"},
      {.name = "gdn_no_gate", .gated_delta = plain + R"(, "use_gate": false)"},
      {.name = "full",
       .attn =
           R"({"layers": [1], "num_heads": 4, "num_kv_heads": 2, "window_size": null, "qkv_bias": true, "rope_theta": 500.0})"},
      {.name = "swa",
       .attn =
           R"({"layers": [0, 2], "num_heads": 4, "num_kv_heads": 1, "window_size": 13, "qkv_bias": false, "rope_theta": 500.0})"},
      {.name = "swa_longer_than_prompt",
       .attn = R"({"layers": [1], "num_heads": 2, "window_size": 200})"},
      {.name = "lte", .attn = Eviction(4, 4, 12, 64, 2)},
      {.name = "lte_overflow", .attn = Eviction(4, 2, 9, 7, 3), .num_tokens = 150},
      {.name = "lte_buffer_0", .attn = Eviction(2, 2, 9, 0, 2)},
      {.name = "lte_buffer_1", .attn = Eviction(2, 1, 9, 1, 0)},
      {.name = "lte_sinks_fill_buffer", .attn = Eviction(2, 2, 8, 4, 6)},
      {.name = "lte_window_longer_than_prompt",
       .attn = Eviction(4, 4, 100, 8, 2),
       .num_tokens = 40},
      {.name = "lte_smallest_window", .attn = Eviction(4, 4, 6, 8, 0)},
      {.name = "lte_layer_shared", .attn = Eviction(4, 2, 10, 12, 1, Shared("layer", "sigmoid"))},
      {.name = "lte_all_shared", .attn = Eviction(4, 4, 10, 12, 1, Shared("all", "sigmoid"))},
      {.name = "lte_relu", .attn = Eviction(4, 2, 10, 12, 1, Shared("head", "relu"))},
      {.name = "lte_other_convolutions",
       .attn = Eviction(4, 2, 11, 9, 1, R"("conv_size": [4, 2], "conv_dilation": [1, 3])")},
      {.name = "lte_one_tap",
       .attn = Eviction(4, 2, 1, 9, 0, R"("conv_size": [1], "conv_dilation": [1])")},
  };
}

void ExpectEqualsReference(const ReferenceCase& c, const ReferenceRun& run) {
  const std::string dir = absl::StrCat(::testing::TempDir(), "/", c.name);
  const absl::Status written = WriteRandomCheckpoint(
      ConfigJson(c), dir, {.seed = 7, .dtype = DType::kF32, .overwrite = true});
  ASSERT_TRUE(written.ok()) << written;
  auto reference = reference::ReferenceModel::Load(dir);
  ASSERT_TRUE(reference.ok()) << reference.status();

  std::mt19937 random(11);
  std::vector<uint32_t> prompt;
  for (int i = 0; i < c.num_tokens; ++i) prompt.push_back(random() % kVocab);
  std::vector<reference::Vector> expected;
  for (const uint32_t token : prompt) {
    expected.push_back(reference::LogSoftmax((*reference)->Step(token)));
  }

  for (const int piece : run.pieces) {
    for (const int page_tokens : run.page_tokens) {
      for (const int state_ring : run.state_rings) {
        SCOPED_TRACE(absl::StrCat("piece ", piece, ", page_tokens ", page_tokens, ", state_ring ",
                                  state_ring));
        auto served = ServedCheckpoint::Load(dir, {.backend = run.backend,
                                                   .page_tokens = page_tokens,
                                                   .num_slots = 2,
                                                   .prompt_piece = piece,
                                                   .state_ring = state_ring});
        const Answer answer = served->Ask(
            {.id = "r", .prompt = prompt, .max_tokens = 1, .logprobs = 20, .prompt_logprobs = 20});
        ExpectEquals(answer, prompt, expected, run.bound);
        const std::vector<int64_t> kept = (*reference)->KeptCounts();
        EXPECT_EQ(std::vector<int64_t>(answer.finish.kept_counts.begin(),
                                       answer.finish.kept_counts.end()),
                  kept);
      }
    }
  }
}

}  // namespace winnow
