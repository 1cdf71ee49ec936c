#include "model/weights.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "kernels/dtype.h"
#include "model/checkpoint_layout.h"
#include "model/testing/test_files.h"
#include "tools/random_checkpoint_lib.h"

namespace winnow {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing_files::Find;
using testing_files::NewDirectory;
using testing_files::ReadTensors;
using testing_files::ReadWholeFile;
using testing_files::SafetensorsBytes;
using testing_files::TestTensor;
using testing_files::WriteFile;

ModelConfig Config(const std::string& directory) {
  const auto config = LoadModelConfig(directory + "/config.json");
  WINNOW_CHECK(config.ok()) << config.status();
  return *config;
}

std::unique_ptr<const Weights> Load(const std::string& directory) {
  auto weights = Weights::Load(directory, Config(directory));
  WINNOW_CHECK(weights.ok()) << weights.status();
  return *std::move(weights);
}

// A directory with a golden's config and these tensors.
std::string Checkpoint(const std::string& kind, const std::vector<TestTensor>& tensors) {
  const std::string directory = NewDirectory();
  WriteFile(directory + "/config.json", ReadWholeFile("tests/golden/" + kind + "/config.json"));
  WriteFile(directory + "/" + kCheckpointFile, SafetensorsBytes(tensors));
  return directory;
}

std::vector<TestTensor> Golden(const std::string& kind) {
  return ReadTensors("tests/golden/" + kind + "/model.safetensors");
}

absl::Status LoadError(const std::string& directory) {
  return Weights::Load(directory, Config(directory)).status();
}

// Element i of a tensor as it stands in the file.
float At(const TestTensor& tensor, int64_t i) {
  if (tensor.dtype == "F32") {
    float value;
    std::memcpy(&value, tensor.bytes.data() + 4 * i, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, tensor.bytes.data() + 2 * i, 2);
  return tensor.dtype == "BF16" ? ToFloat(BF16{bits}) : ToFloat(F16{bits});
}

void ExpectFloats(const float* floats, const TestTensor& tensor) {
  ASSERT_NE(floats, nullptr);
  int64_t n = 1;
  for (const int64_t dim : tensor.shape) n *= dim;
  for (int64_t i = 0; i < n; ++i) ASSERT_EQ(floats[i], At(tensor, i)) << tensor.name << " " << i;
}

void ExpectMatrix(const WeightMatrix& matrix, const TestTensor& tensor) {
  ASSERT_EQ(matrix.rows, tensor.shape[0]) << tensor.name;
  ASSERT_EQ(matrix.cols, tensor.shape[1]) << tensor.name;
  ASSERT_EQ(DTypeName(matrix.dtype), tensor.dtype) << tensor.name;
  EXPECT_EQ(std::memcmp(matrix.data, tensor.bytes.data(), tensor.bytes.size()), 0) << tensor.name;
}

TEST(WeightsTest, EveryTensorOfTheGoldensIsInItsPlace) {
  for (const std::string kind : {"gdn", "swa", "attn", "lte"}) {
    auto tensors = Golden(kind);
    const auto weights = Load("tests/golden/" + kind);
    ExpectMatrix(weights->embeddings, Find(tensors, "model.embeddings.weight"));
    ExpectMatrix(weights->head, Find(tensors, "lm_head.weight"));
    ExpectFloats(weights->final_norm, Find(tensors, "model.norm.weight"));
    int64_t parameters = 0;
    for (const TestTensor& tensor : tensors) {
      parameters += tensor.bytes.size() / (tensor.dtype == "F32" ? 4 : 2);
    }
    EXPECT_EQ(weights->num_parameters, parameters);
    for (int layer = 0; layer < 4; ++layer) {
      const LayerWeights& w = weights->layers[layer];
      const auto find = [&](const std::string& name) -> const TestTensor& {
        return Find(tensors, LayerPrefix(layer) + name);
      };
      ExpectFloats(w.mixer_norm, find("attn_norm.weight"));
      ExpectFloats(w.mlp_norm, find("mlp_norm.weight"));
      ExpectMatrix(w.mlp_gate, find("mlp.gate_proj.weight"));
      ExpectMatrix(w.mlp_up, find("mlp.up_proj.weight"));
      ExpectMatrix(w.mlp_down, find("mlp.down_proj.weight"));
      if (const auto* gdn = std::get_if<GatedDeltaWeights>(&w.mixer)) {
        ExpectMatrix(gdn->q, find("attn.q_proj.weight"));
        ExpectMatrix(gdn->k, find("attn.k_proj.weight"));
        ExpectMatrix(gdn->v, find("attn.v_proj.weight"));
        ExpectMatrix(gdn->a, find("attn.a_proj.weight"));
        ExpectMatrix(gdn->b, find("attn.b_proj.weight"));
        ExpectMatrix(gdn->gate, find("attn.g_proj.weight"));
        ExpectMatrix(gdn->out, find("attn.o_proj.weight"));
        ExpectFloats(gdn->a_log, find("attn.A_log"));
        ExpectFloats(gdn->dt_bias, find("attn.dt_bias"));
        ExpectFloats(gdn->out_norm, find("attn.o_norm.weight"));
        ExpectFloats(gdn->q_conv, find("attn.q_conv1d.weight"));
        ExpectFloats(gdn->k_conv, find("attn.k_conv1d.weight"));
        ExpectFloats(gdn->v_conv, find("attn.v_conv1d.weight"));
        continue;
      }
      const auto& attention = std::get<AttentionWeights>(w.mixer);
      ExpectMatrix(attention.q, find("attn.q_proj.weight"));
      ExpectMatrix(attention.k, find("attn.k_proj.weight"));
      ExpectMatrix(attention.v, find("attn.v_proj.weight"));
      ExpectMatrix(attention.out, find("attn.o_proj.weight"));
      EXPECT_EQ(attention.router.has_value(), kind == "lte");
      EXPECT_EQ(attention.q.bias != nullptr, kind == "attn");
      if (kind == "attn") {
        ExpectFloats(attention.q.bias, find("attn.q_proj.bias"));
        ExpectFloats(attention.k.bias, find("attn.k_proj.bias"));
        ExpectFloats(attention.v.bias, find("attn.v_proj.bias"));
      }
    }
  }
}

// weight [groups, size, in, out] from the file's [groups * out, in, 1, size].
TEST(WeightsTest, RouterFiltersAreRepacked) {
  auto tensors = Golden("lte");
  const auto weights = Load("tests/golden/lte");
  const RouterWeights& router = *std::get<AttentionWeights>(weights->layers[1].mixer).router;
  EXPECT_EQ(router.groups, 4);
  EXPECT_EQ(router.method, RoutingMethod::kSigmoid);
  EXPECT_EQ(router.margin(), 6);
  ASSERT_EQ(router.convs.size(), 3u);
  const std::string stack = "model.layers.1.attn.router.conv_stack.";
  for (int c = 0; c < 3; ++c) {
    const RouterConv& conv = router.convs[c];
    EXPECT_EQ(conv.in, 32 >> c);
    EXPECT_EQ(conv.out, 16 >> c);
    EXPECT_EQ(conv.size, 3);
    EXPECT_EQ(conv.dilation, 2);
    const TestTensor& file = Find(tensors, absl::StrCat(stack, "convs.", c, ".weight"));
    const float* packed = conv.weight;
    for (int64_t group = 0; group < 4; ++group) {
      for (int64_t tap = 0; tap < 3; ++tap) {
        for (int64_t in = 0; in < conv.in; ++in) {
          for (int64_t out = 0; out < conv.out; ++out) {
            ASSERT_EQ(*packed++, At(file, ((group * conv.out + out) * conv.in + in) * 3 + tap));
          }
        }
      }
    }
    ExpectFloats(conv.bias, Find(tensors, absl::StrCat(stack, "convs.", c, ".bias")));
  }
  ExpectFloats(router.proj_weight, Find(tensors, stack + "proj.weight"));
  ExpectFloats(router.proj_bias, Find(tensors, stack + "proj.bias"));
}

TEST(WeightsTest, TheDemoModelLoadsWithItsTiedHead) {
  const auto weights = Load("deploy/demo-model");
  EXPECT_EQ(weights->head.data, weights->embeddings.data);
  EXPECT_EQ(weights->num_parameters, 5'188'580);
}

TEST(WeightsTest, ATiedHeadMayBeRepeatedButNotDiffer) {
  json config = json::parse(ReadWholeFile("tests/golden/gdn/config.json"));
  config["tie_word_embeddings"] = true;
  auto tensors = Golden("gdn");
  TestTensor& head = Find(tensors, "lm_head.weight");
  const std::string directory = Checkpoint("gdn", tensors);
  WriteFile(directory + "/config.json", config.dump());
  EXPECT_EQ(LoadError(directory).message(),
            directory +
                ": tensor lm_head.weight differs from model.embeddings.weight, but config.json "
                "says that they are the same");
  head.bytes = Find(tensors, "model.embeddings.weight").bytes;
  WriteFile(directory + "/" + kCheckpointFile, SafetensorsBytes(tensors));
  const auto weights = Load(directory);
  EXPECT_EQ(weights->head.data, weights->embeddings.data);
  EXPECT_EQ(weights->num_parameters, Load("tests/golden/gdn")->num_parameters - 97 * 64);
}

TEST(WeightsTest, TrainingStateIsSkipped) {
  auto tensors = Golden("lte");
  tensors.push_back({"model.l1_lambda", "F32", {2, 4}, std::string(32, '\xff')});
  tensors.push_back({"model.num_kept", "F32", {2, 4}, std::string(32, 0)});
  EXPECT_EQ(Load(Checkpoint("lte", tensors))->num_parameters,
            Load("tests/golden/lte")->num_parameters);
}

struct Edit {
  std::string kind;
  void (*edit)(std::vector<TestTensor>&);
  std::string message;
};

void Erase(std::vector<TestTensor>& tensors, const std::string& name) {
  std::erase_if(tensors, [&](const TestTensor& tensor) { return tensor.name == name; });
}

TEST(WeightsTest, RefusesWhatTheConfigDoesNotCallFor) {
  const Edit edits[] = {
      {"gdn", [](auto& t) { Erase(t, "model.norm.weight"); },
       "tensor model.norm.weight [64] is missing"},
      {"gdn", [](auto& t) { Erase(t, "lm_head.weight"); },
       "tensor lm_head.weight [97, 64] is missing"},
      {"gdn", [](auto& t) { Erase(t, "model.layers.2.attn.A_log"); },
       "tensor model.layers.2.attn.A_log [2] is missing"},
      {"lte", [](auto& t) { Erase(t, "model.layers.3.attn.router.conv_stack.convs.1.bias"); },
       "tensor model.layers.3.attn.router.conv_stack.convs.1.bias [32] is missing"},
      {"gdn",
       [](auto& t) {
         t.push_back({"model.extra", "F32", {1}, "1234"});
       },
       "tensor model.extra F32 [1] is not part of the model"},
      {"gdn",
       [](auto& t) {
         t.push_back({"model.layers.4.attn_norm.weight", "BF16", {1}, "12"});
       },
       "tensor model.layers.4.attn_norm.weight BF16 [1] is not part"},
      {"swa",
       [](auto& t) {
         t.push_back({"model.layers.1.attn.q_proj.bias", "BF16", {1}, "12"});
       },
       "tensor model.layers.1.attn.q_proj.bias BF16 [1] is not part"},
      {"gdn",
       [](auto& t) {
         Find(t, "model.layers.0.attn.q_proj.weight").shape = {32, 128};
       },
       "tensor model.layers.0.attn.q_proj.weight has shape [32, 128], not [64, 64]"},
      {"gdn",
       [](auto& t) {
         Find(t, "model.layers.0.attn.q_conv1d.weight").shape = {64, 4};
       },
       "tensor model.layers.0.attn.q_conv1d.weight has shape [64, 4], not [64, 1, 4]"},
      {"gdn", [](auto& t) { Find(t, "model.norm.weight").dtype = "I16"; },
       "tensor model.norm.weight has dtype I16; BF16, F16 or F32 is needed"},
      {"gdn", [](auto& t) { Find(t, "lm_head.weight").dtype = "U16"; },
       "tensor lm_head.weight has dtype U16"},
  };
  for (const Edit& edit : edits) {
    auto tensors = Golden(edit.kind);
    edit.edit(tensors);
    const absl::Status status = LoadError(Checkpoint(edit.kind, tensors));
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(edit.message));
  }
}

TEST(WeightsTest, RefusesNonFiniteVectors) {
  const float values[] = {NAN, INFINITY, -INFINITY};
  for (const float value : values) {
    auto tensors = Golden("gdn");
    std::memcpy(Find(tensors, "model.layers.1.attn.A_log").bytes.data() + 4, &value, 4);
    EXPECT_THAT(std::string(LoadError(Checkpoint("gdn", tensors)).message()),
                HasSubstr("tensor model.layers.1.attn.A_log element 1 is "));
  }
  for (const std::string name :
       {"model.norm.weight", "model.layers.0.attn.v_conv1d.weight",
        "model.layers.1.attn.router.conv_stack.convs.2.weight", "model.layers.3.mlp_norm.weight"}) {
    auto tensors = Golden("lte");
    Find(tensors, name).bytes.replace(6, 2, "\xc0\x7f");  // bf16 NaN
    EXPECT_THAT(std::string(LoadError(Checkpoint("lte", tensors)).message()),
                HasSubstr("tensor " + name + " element 3 is nan"));
  }
}

// Headers of any length are legal, so tensors may lie at any byte.
TEST(WeightsTest, MisalignedMatricesAreCopied) {
  const auto aligned = Load("tests/golden/attn");
  auto tensors = Golden("attn");
  const std::string bytes = SafetensorsBytes(tensors);
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  for (const size_t padding : {1, 2, 3}) {
    const std::string directory = Checkpoint("attn", tensors);
    WriteFile(directory + "/" + kCheckpointFile,
              SafetensorsBytes(bytes.substr(8, length) + std::string(padding, ' '),
                               bytes.substr(8 + length)));
    const auto weights = Load(directory);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(weights->head.data) % 2, 0u);
    ExpectMatrix(weights->head, Find(tensors, "lm_head.weight"));
    ExpectFloats(weights->layers[0].mlp_norm, Find(tensors, "model.layers.0.mlp_norm.weight"));
    EXPECT_EQ(weights->size_bytes, aligned->size_bytes);
  }
}

// A config of tests/bench/configs with everything but the structure made small.
json Tiny(const std::string& path) {
  json config = json::parse(ReadWholeFile(path));
  const int64_t scale = config["hidden_size"].get<int64_t>() / 128;
  config["hidden_size"] = 128;
  config["head_dim"] = config["head_dim"].get<int64_t>() / scale;
  config["vocab_size"] = 101;
  config["num_hidden_layers"] = 4;
  if (!config.contains("attn")) return config;
  config["attn"]["layers"] = {1, 3};
  config["attn"]["num_heads"] = config["attn"]["num_heads"].get<int64_t>() / 4;
  config["attn"]["num_kv_heads"] = config["attn"]["num_kv_heads"].get<int64_t>() / 4;
  return config;
}

TEST(WeightsTest, EveryPublishedShapeLoadsAtASmallScaleInEveryType) {
  const RandomCheckpointOptions forms[] = {{.dtype = DType::kBF16},
                                           {.dtype = DType::kBF16, .shard_bytes = 100'000},
                                           {.dtype = DType::kF16},
                                           {.dtype = DType::kF32}};
  for (const auto& entry : std::filesystem::directory_iterator("tests/bench/configs")) {
    if (entry.path().extension() != ".json") continue;
    for (const RandomCheckpointOptions& form : forms) {
      const std::string directory = NewDirectory();
      const absl::Status written =
          WriteRandomCheckpoint(Tiny(entry.path()).dump(), directory, form);
      ASSERT_TRUE(written.ok()) << written;
      const auto weights = Load(directory);
      EXPECT_EQ(weights->layers.size(), 4u);
      EXPECT_EQ(weights->embeddings.dtype, form.dtype);
      std::filesystem::remove_all(directory);
    }
  }
}

// routing_shared "all": one router for all layers, which a file may hold once or once per layer.
TEST(WeightsTest, ARouterSharedByAllLayersMayBeLeftOutAfterTheFirst) {
  json config = json::parse(ReadWholeFile("tests/golden/lte/config.json"));
  config["attn"]["routing_shared"] = "all";
  const std::string directory = NewDirectory();
  const absl::Status written = WriteRandomCheckpoint(config.dump(), directory, {});
  ASSERT_TRUE(written.ok()) << written;
  const std::string path = directory + "/" + kCheckpointFile;
  auto tensors = ReadTensors(path);
  const auto repeated = Load(directory);
  const std::string later = "model.layers.3.attn.router.conv_stack.";
  std::erase_if(tensors, [&](const TestTensor& tensor) { return tensor.name.starts_with(later); });
  WriteFile(path, SafetensorsBytes(tensors));
  const auto once = Load(directory);
  EXPECT_EQ(once->num_parameters, repeated->num_parameters);
  for (const auto* weights : {repeated.get(), once.get()}) {
    const auto& first = *std::get<AttentionWeights>(weights->layers[1].mixer).router;
    const auto& second = *std::get<AttentionWeights>(weights->layers[3].mixer).router;
    EXPECT_EQ(first.groups, 1);
    ASSERT_EQ(second.convs.size(), 3u);
    EXPECT_EQ(second.convs[1].out, 8);
    for (int i = 0; i < 16 * 3 * 8; ++i) {
      EXPECT_EQ(first.convs[1].weight[i], second.convs[1].weight[i]);
    }
  }
  TestTensor different = Find(tensors, "model.layers.1.attn.router.conv_stack.proj.bias");
  different.name = later + "proj.bias";
  different.bytes = "\x11\x11";
  tensors.push_back(different);
  WriteFile(path, SafetensorsBytes(tensors));
  EXPECT_THAT(std::string(LoadError(directory).message()),
              HasSubstr("proj.bias differs from model"));
}

}  // namespace
}  // namespace winnow
