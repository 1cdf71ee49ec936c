#include "model/config.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing/test_files.h"

namespace winnow {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json Base() {
  return {{"model_type", "gated_deltanet"},
          {"hidden_size", 64},
          {"num_hidden_layers", 4},
          {"num_heads", 2},
          {"head_dim", 32},
          {"expand_v", 1},
          {"intermediate_size", 96},
          {"vocab_size", 97}};
}

json WithAttention() {
  json config = Base();
  config["attn"] = {{"layers", {1, 3}}, {"num_heads", 4}};
  return config;
}

json WithEviction() {
  json config = WithAttention();
  config["model_type"] = "hybrid_gated_deltanet";
  config["attn"].update({{"attn_type", "lte"},
                         {"window_size", 24},
                         {"conv_size", {3, 3, 3}},
                         {"conv_dilation", {2, 2, 2}},
                         {"buffer_size", 64},
                         {"sink_size", 2}});
  return config;
}

// `config` with the value at a JSON pointer ("/attn/layers") replaced.
json With(json config, const std::string& pointer, const json& value) {
  config[json::json_pointer(pointer)] = value;
  return config;
}

ModelConfig Parse(const json& config) {
  const auto parsed = ParseModelConfig(config.dump());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : ModelConfig();
}

TEST(ConfigTest, LoadsTheGoldens) {
  const auto load = [](const std::string& kind) {
    const auto config = LoadModelConfig(absl::StrCat("tests/golden/", kind, "/config.json"));
    EXPECT_TRUE(config.ok()) << config.status();
    return *config;
  };
  const auto kinds = [](const ModelConfig& config) {
    std::vector<std::string> names;
    for (const LayerConfig& layer : config.layers) names.emplace_back(layer.kind());
    return names;
  };
  EXPECT_THAT(kinds(load("gdn")), ElementsAre("gdn", "gdn", "gdn", "gdn"));
  EXPECT_THAT(kinds(load("swa")), ElementsAre("gdn", "swa", "gdn", "swa"));
  EXPECT_THAT(kinds(load("attn")), ElementsAre("gdn", "attention", "gdn", "attention"));
  EXPECT_THAT(kinds(load("lte")), ElementsAre("gdn", "lte", "gdn", "lte"));
  EXPECT_EQ(load("gdn").attention(), nullptr);
  EXPECT_TRUE(load("attn").attention()->qkv_bias);

  const ModelConfig lte = load("lte");
  EXPECT_EQ(lte.hidden_size, 64);
  EXPECT_EQ(lte.intermediate_size, 96);
  EXPECT_EQ(lte.vocab_size, 97);
  EXPECT_FALSE(lte.tie_word_embeddings);
  EXPECT_THAT(lte.eos_token_ids, ElementsAre(2));
  EXPECT_EQ(lte.bos_token_id, 1u);
  EXPECT_EQ(lte.attention()->head_dim, 16);
  EXPECT_EQ(lte.attention()->window_size, 24);
  EXPECT_EQ(lte.attention()->span(), 25);
  EXPECT_EQ(lte.attention()->eviction->buffer_size, 64);
  EXPECT_EQ(lte.attention()->eviction->sink_size, 2);
  EXPECT_THAT(lte.attention()->eviction->conv_dilation, ElementsAre(2, 2, 2));
}

TEST(ConfigTest, LoadsTheDemoModel) {
  const auto config = LoadModelConfig("deploy/demo-model/config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& gated_delta = std::get<GatedDeltaConfig>(config->layers[0].mixer);
  EXPECT_EQ(gated_delta.num_v_heads, 4);
  EXPECT_EQ(gated_delta.value_dim, 64);
  EXPECT_EQ(config->attention()->rope_theta, 100000);
  EXPECT_TRUE(config->tie_word_embeddings);
}

TEST(ConfigTest, LoadsThePublishedSizes) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/bench/configs")) {
    if (entry.path().extension() != ".json") continue;
    const auto config = LoadModelConfig(entry.path());
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->layers.size(), 24u);
    EXPECT_EQ(config->intermediate_size, config->hidden_size == 1024 ? 2816 : 5632);
    ++count;
  }
  EXPECT_EQ(count, 8);
}

TEST(ConfigTest, DefaultsAreThePublishedOnes) {
  const ModelConfig config = Parse({{"model_type", "gated_deltanet"}});
  EXPECT_EQ(config.hidden_size, 2048);
  EXPECT_EQ(config.intermediate_size, 5632);
  EXPECT_EQ(config.vocab_size, 32000);
  EXPECT_EQ(config.norm_eps, 1e-6f);
  EXPECT_EQ(config.layers.size(), 21u);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.bos_token_id, 1u);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
  const auto& c = std::get<GatedDeltaConfig>(config.layers[0].mixer);
  EXPECT_EQ(c.num_heads, 6);
  EXPECT_EQ(c.num_v_heads, 6);
  EXPECT_EQ(c.head_dim, 256);
  EXPECT_EQ(c.value_dim, 512);
  EXPECT_EQ(c.conv_size, 4);
  EXPECT_TRUE(c.use_gate);
  EXPECT_TRUE(c.use_short_conv);
  EXPECT_FALSE(c.allow_neg_eigval);

  const AttentionConfig attention = *Parse(WithAttention()).attention();
  EXPECT_EQ(attention.num_kv_heads, 4);
  EXPECT_FALSE(attention.qkv_bias);
  EXPECT_EQ(attention.rope_theta, 10000);
  EXPECT_EQ(attention.window_size, std::nullopt);

  const EvictionConfig eviction = *Parse(WithEviction()).attention()->eviction;
  EXPECT_EQ(eviction.routing_method, RoutingMethod::kSigmoid);
  EXPECT_EQ(eviction.routing_shared, RoutingShared::kHead);
}

TEST(ConfigTest, NullMeansTheDefaultWhereThePublishedCodeSaysSo) {
  json config = WithAttention();
  config.update(
      {{"num_v_heads", nullptr}, {"intermediate_size", nullptr}, {"hidden_ratio", nullptr}});
  config["attn"].update(
      {{"num_kv_heads", nullptr}, {"window_size", nullptr}, {"attn_type", nullptr}});
  const ModelConfig parsed = Parse(config);
  EXPECT_EQ(parsed.intermediate_size, 256);
  EXPECT_EQ(parsed.attention()->num_kv_heads, 4);
  EXPECT_EQ(Parse(With(Base(), "/attn", nullptr)).attention(), nullptr);
}

TEST(ConfigTest, UnderstandsEveryVariant) {
  json config = Base();
  config.update({{"num_v_heads", 6},
                 {"expand_v", 0.5},
                 {"allow_neg_eigval", true},
                 {"use_gate", false},
                 {"use_short_conv", false},
                 {"conv_size", 1},
                 {"hidden_act", "silu"},
                 {"norm_eps", 1e-5}});
  const auto c = std::get<GatedDeltaConfig>(Parse(config).layers[0].mixer);
  EXPECT_EQ(c.num_v_heads, 6);
  EXPECT_EQ(c.value_dim, 16);
  EXPECT_TRUE(c.allow_neg_eigval);
  EXPECT_FALSE(c.use_gate);
  EXPECT_FALSE(c.use_short_conv);

  for (const auto& [text, value] :
       {std::pair("layer", RoutingShared::kLayer), std::pair("all", RoutingShared::kAll)}) {
    const auto shared = Parse(With(WithEviction(), "/attn/routing_shared", text));
    EXPECT_EQ(shared.attention()->eviction->routing_shared, value);
  }
  const auto relu = Parse(With(WithEviction(), "/attn/routing_method", "relu"));
  EXPECT_EQ(relu.attention()->eviction->routing_method, RoutingMethod::kRelu);
  EXPECT_EQ(Parse(With(WithAttention(), "/attn/attn_type", "attn")).attention()->eviction,
            std::nullopt);
  EXPECT_EQ(Parse(With(WithEviction(), "/attn/window_size", 6)).attention()->span(), 7);
  EXPECT_EQ(Parse(With(WithEviction(), "/attn/buffer_size", 0)).attention()->eviction->buffer_size,
            0);
  EXPECT_EQ(Parse(With(WithAttention(), "/attn/layers", json::array())).attention(), nullptr);
  EXPECT_EQ(Parse(With(WithAttention(), "/attn/head_dim", 16)).attention()->head_dim, 16);
}

TEST(ConfigTest, SpecialTokens) {
  EXPECT_TRUE(Parse(With(Base(), "/eos_token_id", nullptr)).eos_token_ids.empty());
  EXPECT_THAT(Parse(With(Base(), "/eos_token_id", {5, 7})).eos_token_ids, ElementsAre(5, 7));
  EXPECT_EQ(Parse(With(Base(), "/bos_token_id", nullptr)).bos_token_id, std::nullopt);
  const ModelConfig tiny = Parse(With(Base(), "/vocab_size", 1));
  EXPECT_EQ(tiny.bos_token_id, std::nullopt);
  EXPECT_TRUE(tiny.eos_token_ids.empty());
}

TEST(ConfigTest, IgnoresWhatDoesNotChangeTheMaths) {
  json config = WithEviction();
  config.update({{"torch_dtype", "bfloat16"},
                 {"architectures", {"X"}},
                 {"use_cache", false},
                 {"max_position_embeddings", 128},
                 {"id2label", {{"0", "a"}}},
                 {"transformers_version", "4.57"},
                 {"fuse_norm", true},
                 {"pad_token_id", nullptr},
                 {"initializer_range", 0.02},
                 {"conv_bias", false},
                 {"pruned_heads", json::object()}});
  config["attn"].update(
      {{"dropout_prob", 0.1}, {"l1_lambda_tolerate", {0.95, 1.0}}, {"qk_norm", false}});
  Parse(config);
}

struct Bad {
  json config;
  std::string message;
};

void ExpectRefused(const std::vector<Bad>& cases, absl::StatusCode code) {
  for (const Bad& bad : cases) {
    const absl::Status status = ParseModelConfig(bad.config.dump()).status();
    EXPECT_EQ(status.code(), code) << bad.config << " " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message)) << bad.config;
  }
}

TEST(ConfigTest, RefusesKindsThatAreNotServed) {
  json nsa = With(WithAttention(), "/attn/attn_type", "nsa");
  ExpectRefused({{With(Base(), "/model_type", "nsa"), "model_type is \"nsa\""},
                 {With(Base(), "/model_type", "transformer"), "model_type is \"transformer\""},
                 {nsa, "attn.attn_type is \"nsa\""}},
                absl::StatusCode::kUnimplemented);
  EXPECT_EQ(LoadModelConfig("tests/golden/nsa/config.json").status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(ConfigTest, RefusesWrongTopLevelFields) {
  const json b = Base();
  json no_type = b;
  no_type.erase("model_type");
  ExpectRefused(
      {{json::array(), "the document is []: must be an object"},
       {no_type, "model_type is missing"},
       {With(b, "/model_type", 3), "model_type is 3: must be a string"},
       {With(b, "/model_type", "gpt2"), "model_type is \"gpt2\": only gated_deltanet and"},
       {With(b, "/hidden_size", 0), "hidden_size is 0: must be a whole number in 1..65536"},
       {With(b, "/hidden_size", -64), "hidden_size is -64"},
       {With(b, "/hidden_size", 64.0), "hidden_size is 64.0"},
       {With(b, "/hidden_size", "64"), "hidden_size is \"64\""},
       {With(b, "/hidden_size", nullptr), "hidden_size is null"},
       {With(b, "/hidden_size", true), "hidden_size is true"},
       {With(b, "/hidden_size", 1ll << 62), "hidden_size is 4611686018427387904"},
       {With(b, "/num_hidden_layers", 0), "num_hidden_layers is 0"},
       {With(b, "/num_hidden_layers", 1 << 20), "num_hidden_layers is 1048576"},
       {With(b, "/vocab_size", 0), "vocab_size is 0"},
       {With(b, "/vocab_size", 1ll << 40), "vocab_size is 1099511627776"},
       {With(b, "/num_heads", 0), "num_heads is 0"},
       {With(b, "/num_v_heads", 3), "num_v_heads is 3: must be a multiple of num_heads 2"},
       {With(b, "/num_v_heads", 1), "num_v_heads is 1"},
       {With(b, "/head_dim", 0), "head_dim is 0"},
       {With(b, "/expand_v", 0), "expand_v is 0: must be a number above 0"},
       {With(b, "/expand_v", -1), "expand_v is -1"},
       {With(b, "/expand_v", "1"), "expand_v is \"1\""},
       {With(b, "/expand_v", 1e300), "expand_v is 1e+300"},
       {With(b, "/expand_v", 1.01), "expand_v is 1.01: times head_dim 32 is not a whole number"},
       {With(b, "/expand_v", 0.001), "expand_v is 0.001: times head_dim 32"},
       {With(b, "/conv_size", 0), "conv_size is 0"},
       {With(b, "/conv_size", {4}), "conv_size is [4]"},
       {With(b, "/use_gate", 1), "use_gate is 1: must be true or false"},
       {With(b, "/use_gate", nullptr), "use_gate is null"},
       {With(b, "/use_short_conv", "yes"), "use_short_conv is \"yes\""},
       {With(b, "/allow_neg_eigval", 0), "allow_neg_eigval is 0"},
       {With(b, "/intermediate_size", 0), "intermediate_size is 0"},
       {With(b, "/intermediate_size", 1.5), "intermediate_size is 1.5"},
       {With(With(b, "/intermediate_size", nullptr), "/hidden_ratio", 0), "hidden_ratio is 0"},
       {With(b, "/hidden_ratio", 65), "hidden_ratio is 65"},
       {With(b, "/hidden_act", "gelu"), "hidden_act is \"gelu\": must be one of \"swish\""},
       {With(b, "/norm_eps", 0), "norm_eps is 0"},
       {With(b, "/norm_eps", 1e-60), "norm_eps is 1e-60"},
       {With(b, "/tie_word_embeddings", nullptr), "tie_word_embeddings is null"},
       {With(b, "/eos_token_id", 97), "eos_token_id is 97: must be a whole number in 0..96"},
       {With(b, "/eos_token_id", {1, -1}), "eos_token_id is [1,-1]"},
       {With(b, "/eos_token_id", "2"), "eos_token_id is \"2\""},
       {With(b, "/bos_token_id", 97), "bos_token_id is 97"},
       {With(b, "/conv_bias", true), "conv_bias is true: only false is supported"},
       {With(b, "/quantization_config", {{"bits", 4}}), "quantization_config is {\"bits\":4}"},
       {With(b, "/some_new_field", 1), "unknown field \"some_new_field\" (value 1)"},
       {With(b, "/window_size", 5), "unknown field \"window_size\""},
       {With(b, "/attn", 3), "attn is 3: must be an object"}},
      absl::StatusCode::kInvalidArgument);
}

TEST(ConfigTest, RefusesWrongAttentionFields) {
  const json a = WithAttention();
  json no_layers = a, no_heads = a;
  no_layers["attn"].erase("layers");
  no_heads["attn"].erase("num_heads");
  ExpectRefused(
      {{no_layers, "attn.layers is missing"},
       {no_heads, "attn.num_heads is missing"},
       {With(a, "/attn/layers", 1), "attn.layers is 1: must be a list"},
       {With(a, "/attn/layers", {1, 4}), "attn.layers is [1,4]: must be a whole number in 0..3"},
       {With(a, "/attn/layers", {-1}), "attn.layers is [-1]"},
       {With(a, "/attn/layers", {1, 3, 1}), "attn.layers is [1,3,1]: 1 stands twice"},
       {With(a, "/attn/layers", {1.0}), "attn.layers is [1.0]"},
       {With(a, "/attn/num_heads", 0), "attn.num_heads is 0"},
       {With(a, "/attn/num_heads", 5), "attn.num_heads is 5: must divide hidden_size 64"},
       {With(a, "/attn/num_heads", 64),
        "attn.num_heads is 64: must divide hidden_size 64 into heads "
        "of even size"},
       {With(a, "/attn/num_kv_heads", 3), "attn.num_kv_heads is 3: must divide num_heads 4"},
       {With(a, "/attn/num_kv_heads", 8), "attn.num_kv_heads is 8"},
       {With(a, "/attn/num_kv_heads", 0), "attn.num_kv_heads is 0"},
       {With(a, "/attn/head_dim", 32), "attn.head_dim is 32: only 16 is supported"},
       {With(a, "/attn/window_size", 0), "attn.window_size is 0"},
       {With(a, "/attn/window_size", "8"), "attn.window_size is \"8\""},
       {With(a, "/attn/rope_theta", 0), "attn.rope_theta is 0"},
       {With(a, "/attn/rope_theta", nullptr), "attn.rope_theta is null"},
       {With(a, "/attn/rope_scaling", {{"factor", 2}}), "attn.rope_scaling is"},
       {With(a, "/attn/qkv_bias", 0), "attn.qkv_bias is 0"},
       {With(a, "/attn/qk_norm", true), "attn.qk_norm is true"},
       {With(a, "/attn/attn_type", "linear"), "attn.attn_type is \"linear\""},
       {With(a, "/attn/attn_type", 1), "attn.attn_type is 1"},
       {With(a, "/attn/buffer_size", 8), "unknown field \"attn.buffer_size\""}},
      absl::StatusCode::kInvalidArgument);
}

TEST(ConfigTest, RefusesWrongEvictionFields) {
  const json e = WithEviction();
  json no_window = e, no_conv = e;
  no_window["attn"].erase("window_size");
  no_conv["attn"].erase("conv_size");
  json odd_heads = With(With(e, "/hidden_size", 40), "/attn/num_heads", 4);  // 20 -> 10 -> 5
  json shared_odd = With(odd_heads, "/attn/routing_shared", "layer");
  Parse(shared_odd);
  ExpectRefused(
      {{With(e, "/model_type", "gated_deltanet"), "attn.attn_type is \"lte\": needs model_type"},
       {no_window, "attn.window_size is missing"},
       {no_conv, "attn.conv_size is missing"},
       {With(e, "/attn/window_size", nullptr), "attn.window_size is null"},
       {With(e, "/attn/window_size", 5), "attn.window_size is 5: must be at least 6, the router's"},
       {With(e, "/attn/conv_size", json::array()), "attn.conv_size is []"},
       {With(e, "/attn/conv_size", {3, 3}), "attn.conv_dilation is [2,2,2]: must have as many"},
       {With(e, "/attn/conv_size", {3, 0, 3}), "attn.conv_size is [3,0,3]"},
       {With(e, "/attn/conv_dilation", {2, 2, 0}), "attn.conv_dilation is [2,2,0]"},
       {With(e, "/attn/conv_dilation", 2), "attn.conv_dilation is 2"},
       {With(e, "/attn/buffer_size", -1), "attn.buffer_size is -1"},
       {With(e, "/attn/sink_size", -1), "attn.sink_size is -1"},
       {With(e, "/attn/routing_method", "softmax"), "attn.routing_method is \"softmax\""},
       {With(e, "/attn/routing_shared", "none"), "attn.routing_shared is \"none\""},
       {odd_heads, "channels cannot be halved that often"},
       {With(With(e, "/attn/conv_size", json(std::vector<int>(8, 1))), "/attn/conv_dilation",
             json(std::vector<int>(8, 1))),
        "channels cannot be halved"},
       {With(e, "/attn/l2_lambda", 1), "unknown field \"attn.l2_lambda\""}},
      absl::StatusCode::kInvalidArgument);
}

TEST(ConfigTest, RefusesTextThatIsNotOneJsonObject) {
  for (const std::string text : {"", "{", "{\"model_type\": NaN}", "{\"a\": 1, \"a\": 1}"}) {
    EXPECT_EQ(ParseModelConfig(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ConfigTest, LoadNamesThePath) {
  const std::string directory = testing_files::NewDirectory();
  EXPECT_EQ(LoadModelConfig(directory + "/config.json").status().code(),
            absl::StatusCode::kNotFound);
  testing_files::WriteFile(directory + "/config.json", "{");
  EXPECT_THAT(std::string(LoadModelConfig(directory + "/config.json").status().message()),
              HasSubstr(directory + "/config.json: not valid JSON"));
}

}  // namespace
}  // namespace winnow
