#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/file.h"
#include "model/json.h"
#include "model/json_fields.h"

// Defaults are those of the published configuration classes (flash-linear-attention's
// GatedDeltaNetConfig and its hybrid form with learned eviction).
namespace winnow {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxConfigBytes = 16 << 20;

// Far above any real model, and small enough that no product of a few of them overflows.
constexpr int64_t kMaxHidden = 1 << 16;
constexpr int64_t kMaxIntermediate = 1 << 20;
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxHeads = 1 << 12;
constexpr int64_t kMaxHeadDim = 1 << 12;
constexpr int64_t kMaxConvSize = 1 << 6;
constexpr int64_t kMaxDilation = 1 << 12;
constexpr int64_t kMaxRouterConvs = 8;
constexpr int64_t kMaxWindow = 1 << 24;

// Fields that concern training, generation settings, or bookkeeping of the library that wrote the
// file, but not what the model computes. max_position_embeddings is no limit of these models.
constexpr std::string_view kIgnoredFields[] = {
    // training
    "initializer_range", "fuse_norm", "fuse_swiglu", "fuse_cross_entropy",
    "fuse_linear_cross_entropy", "use_l2warp", "problem_type", "id2label", "label2id", "num_labels",
    "finetuning_task", "task_specific_params",
    // how to run it, with equal results
    "attn_mode", "use_cache", "max_position_embeddings", "dtype", "torch_dtype", "torchscript",
    "use_bfloat16", "tf_legacy_loss", "chunk_size_feed_forward", "gradient_checkpointing",
    "_attn_implementation", "_attn_implementation_autoset", "attn_implementation", "return_dict",
    "use_return_dict", "output_attentions", "output_hidden_states", "output_scores",
    "return_dict_in_generate",
    // bookkeeping
    "architectures", "auto_map", "transformers_version", "_name_or_path", "name_or_path",
    "_commit_hash", "tokenizer_class", "prefix", "pad_token_id", "sep_token_id",
    "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "tie_encoder_decoder",
    "is_decoder",
    // generation settings of old versions of the library
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
    "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
    "num_return_sequences", "remove_invalid_values", "exponential_decay_length_penalty",
    "suppress_tokens", "begin_suppress_tokens"};

constexpr std::string_view kIgnoredAttentionFields[] = {"dropout_prob",
                                                        "routing_grad",
                                                        "routing_freeze_steps",
                                                        "l1_lambda_init",
                                                        "l1_lambda_min",
                                                        "l1_lambda_max",
                                                        "l1_alpha",
                                                        "l1_alpha_neg",
                                                        "l1_warmup_steps",
                                                        "l1_lambda_shared",
                                                        "l1_lambda_initial_steps",
                                                        "l1_lambda_update_steps",
                                                        "l1_lambda_tolerate"};

// Fields with one value that means what the model does anyway.
void ExpectNeutral(JsonFields& fields) {
  fields.Expect("conv_bias", false);
  fields.Expect("quantization_config", nullptr);
  fields.Expect("pruned_heads", Json::object());
  fields.Expect("is_encoder_decoder", false);
  fields.Expect("add_cross_attention", false);
  fields.Expect("cross_attention_hidden_size", nullptr);
}

// UNIMPLEMENTED for kinds of models that are known but not served, before anything else is read:
// their other fields would only give misleading errors.
absl::Status CheckModelType(JsonFields& fields) {
  const std::string type = fields.String("model_type");
  if (!fields.ok()) return fields.status();
  if (type == "gated_deltanet" || type == "hybrid_gated_deltanet") return absl::OkStatus();
  const std::string message =
      absl::StrCat("model_type is ", JsonExcerpt(type),
                   ": only gated_deltanet and hybrid_gated_deltanet are supported");
  if (type == "nsa" || type == "transformer") return absl::UnimplementedError(message);
  return absl::InvalidArgumentError(message);
}

// 2/3 * hidden_ratio * hidden_size, rounded down to a whole number and that up to a multiple of
// 256: as the published model does.
int64_t DefaultIntermediateSize(int64_t hidden_size, double hidden_ratio) {
  const auto size = static_cast<int64_t>(hidden_size * hidden_ratio * 2 / 3);
  return (size + 255) / 256 * 256;
}

int64_t IntermediateSize(JsonFields& fields, int64_t hidden_size) {
  const double ratio =
      fields.FindNotNull("hidden_ratio") == nullptr ? 4 : fields.Number("hidden_ratio", 0, 64, 4);
  const auto given = fields.NullableInt("intermediate_size", 1, kMaxIntermediate);
  const int64_t size = given.value_or(DefaultIntermediateSize(hidden_size, ratio));
  if (size > kMaxIntermediate || size < 1) {
    fields.Fail("hidden_ratio",
                absl::StrCat("makes intermediate_size ", size, ", not in 1..", kMaxIntermediate));
  }
  return size;
}

// Dv = head_dim * expand_v, which must come out whole.
int64_t ValueDim(JsonFields& fields, int64_t head_dim) {
  const double exact = head_dim * fields.Number("expand_v", 0, 64, 2.0);
  const auto whole = static_cast<int64_t>(exact);
  if (fields.ok() && (whole < 1 || std::abs(exact - whole) > 1e-5 * exact)) {
    fields.Fail("expand_v", absl::StrCat("times head_dim ", head_dim, " is not a whole number"));
  }
  return whole;
}

GatedDeltaConfig ParseGatedDelta(JsonFields& fields) {
  GatedDeltaConfig c;
  c.num_heads = fields.Int("num_heads", 1, kMaxHeads, 6);
  c.num_v_heads = fields.NullableInt("num_v_heads", 1, kMaxHeads).value_or(c.num_heads);
  if (c.num_v_heads % c.num_heads != 0) {
    fields.Fail("num_v_heads", absl::StrCat("must be a multiple of num_heads ", c.num_heads));
  }
  c.head_dim = fields.Int("head_dim", 1, kMaxHeadDim, 256);
  c.value_dim = ValueDim(fields, c.head_dim);
  c.conv_size = fields.Int("conv_size", 1, kMaxConvSize, 4);
  c.use_short_conv = fields.Bool("use_short_conv", true);
  c.use_gate = fields.Bool("use_gate", true);
  c.allow_neg_eigval = fields.Bool("allow_neg_eigval", false);
  return c;
}

EvictionConfig ParseEviction(JsonFields& fields) {
  EvictionConfig c;
  c.conv_size = fields.IntList("conv_size", 1, kMaxConvSize, 1, kMaxRouterConvs);
  c.conv_dilation = fields.IntList("conv_dilation", 1, kMaxDilation, 1, kMaxRouterConvs);
  if (c.conv_size.size() != c.conv_dilation.size()) {
    fields.Fail("conv_dilation",
                absl::StrCat("must have as many numbers as conv_size, ", c.conv_size.size()));
  }
  c.buffer_size = fields.Int("buffer_size", 0, kMaxWindow);
  c.sink_size = fields.Int("sink_size", 0, kMaxWindow);
  constexpr RoutingMethod kMethods[] = {RoutingMethod::kSigmoid, RoutingMethod::kRelu};
  c.routing_method = kMethods[fields.Choice("routing_method", {"sigmoid", "relu"}, 0)];
  constexpr RoutingShared kShared[] = {RoutingShared::kHead, RoutingShared::kLayer,
                                       RoutingShared::kAll};
  c.routing_shared = kShared[fields.Choice("routing_shared", {"head", "layer", "all"}, 0)];
  return c;
}

// Each router convolution halves the channels, 2 * head_dim at first; with a filter bank per head
// the groups must stay equal.
void CheckRouterChannels(JsonFields& fields, const AttentionConfig& attention) {
  const EvictionConfig& eviction = *attention.eviction;
  int64_t channels = 2 * attention.head_dim;
  for (size_t i = 0; i < eviction.conv_size.size(); ++i) {
    const bool uneven = eviction.routing_shared == RoutingShared::kHead && channels % 2 != 0;
    if (channels < 2 || uneven) {
      fields.Fail("conv_size", absl::StrCat("twice head_dim ", attention.head_dim,
                                            " channels cannot be halved that often"));
    }
    channels /= 2;
  }
}

// The window must cover the tokens that a score waits for: a token's score is final when it leaves.
void CheckLookAhead(JsonFields& fields, const AttentionConfig& attention) {
  const EvictionConfig& eviction = *attention.eviction;
  int64_t margin = 0;
  for (size_t i = 0; i < eviction.conv_size.size(); ++i) {
    margin +=
        RouterConv{.size = eviction.conv_size[i], .dilation = eviction.conv_dilation[i]}.right();
  }
  if (*attention.window_size < margin) {
    fields.Fail("window_size",
                absl::StrCat("must be at least ", margin, ", the router's look-ahead"));
  }
}

// Kinds of attention that exist but are not served, and those that the model type does not have.
absl::Status CheckAttentionType(JsonFields& fields, const std::string& model_type) {
  const Json* type = fields.FindNotNull("attn_type");
  if (type == nullptr || *type == "attn") return absl::OkStatus();
  if (*type == "nsa") {
    return absl::UnimplementedError(
        "attn.attn_type is \"nsa\": native sparse attention is not supported");
  }
  if (*type != "lte") {
    fields.Fail("attn_type", "only \"lte\", or none for softmax attention, is supported");
  } else if (model_type != "hybrid_gated_deltanet") {
    fields.Fail("attn_type", "needs model_type hybrid_gated_deltanet");
  }
  return fields.status();
}

absl::StatusOr<AttentionConfig> ParseAttention(JsonFields& fields, const ModelConfig& model) {
  if (absl::Status type = CheckAttentionType(fields, model.model_type); !type.ok()) return type;
  const Json* type = fields.FindNotNull("attn_type");
  const bool evicts = type != nullptr && *type == "lte";

  AttentionConfig c;
  c.num_heads = fields.Int("num_heads", 1, kMaxHeads);
  c.num_kv_heads = fields.NullableInt("num_kv_heads", 1, kMaxHeads).value_or(c.num_heads);
  if (c.num_heads % c.num_kv_heads != 0) {
    fields.Fail("num_kv_heads", absl::StrCat("must divide num_heads ", c.num_heads));
  }
  c.head_dim = model.hidden_size / c.num_heads;
  if (model.hidden_size % c.num_heads != 0 || c.head_dim % 2 != 0) {
    fields.Fail("num_heads", absl::StrCat("must divide hidden_size ", model.hidden_size,
                                          " into heads of even size"));
  }
  fields.Expect("head_dim", c.head_dim);
  c.qkv_bias = fields.Bool("qkv_bias", false);
  c.rope_theta = fields.Number("rope_theta", 0, 1e12, 10000);
  fields.Expect("rope_scaling", nullptr);
  fields.Expect("qk_norm", false);
  if (evicts) {
    c.window_size = fields.Int("window_size", 1, kMaxWindow);
    c.eviction = ParseEviction(fields);
    if (fields.ok()) CheckRouterChannels(fields, c);
    if (fields.ok()) CheckLookAhead(fields, c);
    fields.Ignore(kIgnoredAttentionFields);
  } else {
    c.window_size = fields.NullableInt("window_size", 1, kMaxWindow);
  }
  return c;
}

// Which layers are attention layers.
std::set<int64_t> AttentionLayers(JsonFields& fields, int64_t num_layers) {
  std::set<int64_t> layers;
  for (const int64_t layer : fields.IntList("layers", 0, num_layers - 1, 0, kMaxLayers)) {
    if (!layers.insert(layer).second) fields.Fail("layers", absl::StrCat(layer, " stands twice"));
  }
  return layers;
}

absl::Status ParseLayers(JsonFields& fields, ModelConfig* config) {
  const int64_t num_layers = fields.Int("num_hidden_layers", 1, kMaxLayers, 21);
  const GatedDeltaConfig gated_delta = ParseGatedDelta(fields);
  if (!fields.ok()) return fields.status();
  config->layers.assign(num_layers, LayerConfig{gated_delta});

  const Json* block = fields.FindNotNull("attn");
  if (block == nullptr) return absl::OkStatus();
  JsonFields attn(*block, "attn.");
  if (!attn.ok()) return attn.status();
  const absl::StatusOr<AttentionConfig> attention = ParseAttention(attn, *config);
  if (!attention.ok()) return attention.status();
  for (const int64_t layer : AttentionLayers(attn, num_layers)) {
    config->layers[layer].mixer = *attention;
  }
  return attn.Finish();
}

// One id, a list of ids, or null for none; the published defaults when absent.
void ParseSpecialTokens(JsonFields& fields, ModelConfig* config) {
  constexpr int64_t kDefaultBos = 1, kDefaultEos = 2;
  const int64_t last = config->vocab_size - 1;
  if (fields.Find("bos_token_id") == nullptr) {
    if (kDefaultBos <= last) config->bos_token_id = kDefaultBos;
  } else if (const auto bos = fields.NullableInt("bos_token_id", 0, last)) {
    config->bos_token_id = static_cast<uint32_t>(*bos);
  }
  const Json* eos = fields.Find("eos_token_id");
  if (eos == nullptr) {
    if (kDefaultEos <= last) config->eos_token_ids = {kDefaultEos};
  } else if (eos->is_array()) {
    const auto ids = fields.IntList("eos_token_id", 0, last, 0, 1024);
    config->eos_token_ids.assign(ids.begin(), ids.end());
  } else if (const auto id = fields.NullableInt("eos_token_id", 0, last)) {
    config->eos_token_ids = {static_cast<uint32_t>(*id)};
  }
}

}  // namespace

std::string_view LayerConfig::kind() const {
  const auto* attention = std::get_if<AttentionConfig>(&mixer);
  if (attention == nullptr) return "gdn";
  if (attention->eviction.has_value()) return "lte";
  return attention->window_size.has_value() ? "swa" : "attention";
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text) {
  const absl::StatusOr<Json> json = ParseStrictJson(text);
  if (!json.ok()) return json.status();
  JsonFields fields(*json, "");
  if (absl::Status type = CheckModelType(fields); !type.ok()) return type;

  ModelConfig config;
  config.model_type = fields.String("model_type");
  config.hidden_size = fields.Int("hidden_size", 1, kMaxHidden, 2048);
  config.intermediate_size = IntermediateSize(fields, config.hidden_size);
  config.vocab_size = fields.Int("vocab_size", 1, kMaxVocab, 32000);
  config.norm_eps = static_cast<float>(fields.Number("norm_eps", 1e-30, 1, 1e-6));
  config.tie_word_embeddings = fields.Bool("tie_word_embeddings", false);
  fields.Choice("hidden_act", {"swish", "silu"}, 0);
  ParseSpecialTokens(fields, &config);
  if (absl::Status layers = ParseLayers(fields, &config); !layers.ok()) return layers;
  fields.Ignore(kIgnoredFields);
  ExpectNeutral(fields);
  if (absl::Status all = fields.Finish(); !all.ok()) return all;
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxConfigBytes);
  if (!text.ok()) return text.status();
  absl::StatusOr<ModelConfig> config = ParseModelConfig(*text);
  if (!config.ok()) return AtPath(path, config.status());
  return config;
}

}  // namespace winnow
