#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/safetensors.h"
#include "model/testing/test_files.h"
#include "tools/random_checkpoint_lib.h"
#include "tools/random_tensor.h"

namespace winnow {
namespace {

using testing::HasSubstr;
using testing_files::NewDirectory;
using testing_files::ReadWholeFile;
using testing_files::WriteFile;

const char kConfig[] = R"({"model_type": "gated_deltanet", "hidden_size": 64,
    "num_hidden_layers": 2, "num_heads": 2, "head_dim": 16, "vocab_size": 50,
    "attn": {"layers": [1], "num_heads": 2, "qkv_bias": true}})";

absl::Status Write(const std::string& directory, const RandomCheckpointOptions& options) {
  return WriteRandomCheckpoint(kConfig, directory, options);
}

std::map<std::string, std::string> Contents(const std::string& directory) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    contents[entry.path().filename()] = ReadWholeFile(entry.path());
  }
  return contents;
}

TEST(RandomCheckpointTest, BytesDependOnTheSeedButNotOnThreads) {
  const std::string one = NewDirectory(), four = NewDirectory(), other = NewDirectory();
  ASSERT_TRUE(Write(one, {.seed = 5, .threads = 1}).ok());
  ASSERT_TRUE(Write(four, {.seed = 5, .threads = 4}).ok());
  ASSERT_TRUE(Write(other, {.seed = 6}).ok());
  EXPECT_EQ(Contents(one), Contents(four));
  EXPECT_NE(Contents(one)["model.safetensors"], Contents(other)["model.safetensors"]);
  EXPECT_EQ(Contents(one)["config.json"], kConfig);
  EXPECT_EQ(Contents(one).size(), 2u);
}

TEST(RandomCheckpointTest, ShardsHoldTheSameTensors) {
  const std::string whole = NewDirectory(), sharded = NewDirectory();
  ASSERT_TRUE(Write(whole, {}).ok());
  ASSERT_TRUE(Write(sharded, {.shard_bytes = 20'000}).ok());
  const auto file = SafetensorsFile::Open(whole + "/model.safetensors");
  size_t tensors = 0;
  const auto contents = Contents(sharded);
  EXPECT_GT(contents.size(), 5u);
  for (const auto& [name, bytes] : contents) {
    if (!name.ends_with(".safetensors")) continue;
    const auto entries = ParseSafetensors(bytes, nullptr);
    ASSERT_TRUE(entries.ok()) << name << entries.status();
    for (const auto& [tensor, entry] : *entries) {
      const SafetensorsEntry& same = file->entries().at(tensor);
      ASSERT_EQ(entry.size_bytes, same.size_bytes);
      EXPECT_EQ(std::memcmp(entry.data, same.data, same.size_bytes), 0) << tensor;
      ++tensors;
    }
  }
  EXPECT_EQ(tensors, file->entries().size());
}

TEST(RandomCheckpointTest, OverwritesOnlyWhenTold) {
  const std::string directory = NewDirectory();
  ASSERT_TRUE(Write(directory, {.shard_bytes = 20'000}).ok());
  const auto before = Contents(directory);
  const absl::Status refused = Write(directory, {.seed = 2});
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(directory));
  EXPECT_EQ(Contents(directory), before);
  WriteFile(directory + "/tokenizer.json", "kept");
  ASSERT_TRUE(Write(directory, {.seed = 2, .overwrite = true}).ok());
  EXPECT_THAT(Contents(directory), testing::UnorderedElementsAre(
                                       testing::Key("config.json"), testing::Key("tokenizer.json"),
                                       testing::Key("model.safetensors")));
}

TEST(RandomCheckpointTest, ABadConfigWritesNothing) {
  const std::string directory = NewDirectory() + "/new";
  EXPECT_EQ(WriteRandomCheckpoint("{}", directory, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(directory));
}

// No space: here, a limit on the size of files.
TEST(RandomCheckpointTest, NothingIsLeftBehindWhenTheDiskIsFull) {
  const std::string directory = NewDirectory();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 10'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = Write(directory, {});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.safetensors.partial: claiming"));
  EXPECT_TRUE(Contents(directory).empty());
}

TEST(RandomCheckpointTest, ReportsProgressToTheEnd) {
  int64_t last = 0, all = 0;
  const auto progress = [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    last = done;
    all = total;
  };
  ASSERT_TRUE(Write(NewDirectory(), {.progress = progress}).ok());
  EXPECT_EQ(last, all);
  EXPECT_GT(all, 10'000);
}

ModelConfig Model() { return *ParseModelConfig(kConfig); }

std::vector<float> Draw(TensorRole role, std::vector<int64_t> shape) {
  const TensorSpec spec{.name = "t", .shape = std::move(shape), .role = role};
  std::vector<float> values(spec.num_elements());
  RandomTensor(spec, Model(), 1, DType::kF32)
      .Fill(0, values.size(), reinterpret_cast<std::byte*>(values.data()));
  return values;
}

TEST(RandomTensorTest, ProjectionsHaveTheStatedScale) {
  const auto values = Draw(TensorRole::kProjection, {400, 256});
  double sum = 0, squares = 0;
  for (const double v : values) sum += v, squares += v * v;
  EXPECT_NEAR(sum / values.size(), 0, 0.001);
  EXPECT_NEAR(squares / values.size(), 1.0 / 256, 0.02 / 256);
}

TEST(RandomTensorTest, DecaysAndNormsLieInTheirRanges) {
  for (const float v : Draw(TensorRole::kALog, {5000})) {
    EXPECT_TRUE(std::isfinite(v) && v < std::log(16.0f)) << v;
  }
  for (const float v : Draw(TensorRole::kDtBias, {5000})) {
    const double dt = std::log1p(std::exp(v));
    EXPECT_TRUE(0.00099 < dt && dt < 0.101) << dt;
  }
  for (const float v : Draw(TensorRole::kNorm, {5000})) EXPECT_TRUE(0.75f <= v && v <= 1.25f) << v;
}

TEST(RandomTensorTest, AnyPartCanBeMadeAlone) {
  const TensorSpec spec{.name = "t", .shape = {10, 100}, .role = TensorRole::kOutput};
  const RandomTensor tensor(spec, Model(), 3, DType::kBF16);
  std::vector<BF16> whole(1000), part(100);
  tensor.Fill(0, 1000, reinterpret_cast<std::byte*>(whole.data()));
  tensor.Fill(337, 100, reinterpret_cast<std::byte*>(part.data()));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(part[i].bits, whole[337 + i].bits);
}

TEST(RandomTensorTest, HalfPrecisionRoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const F16 half{static_cast<uint16_t>(bits)};
    const float value = ToFloat(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(ToFloat(ToF16(value))));
      continue;
    }
    EXPECT_EQ(ToF16(value).bits, half.bits);
    if (std::isinf(value) || half.bits % 0x8000 == 0x7bff) continue;
    // Half way to the next number goes to the even one, anything less or more to the nearer one.
    const float next = ToFloat(F16{static_cast<uint16_t>(bits + 1)});
    const float middle = (value + next) / 2;
    EXPECT_EQ(ToF16(middle).bits, bits + (bits & 1)) << bits;
    EXPECT_EQ(ToF16(std::nextafter(middle, value)).bits, bits);
    EXPECT_EQ(ToF16(std::nextafter(middle, next)).bits, bits + 1);
  }
  EXPECT_EQ(ToF16(65519).bits, 0x7bff);
  EXPECT_EQ(ToF16(65520).bits, 0x7c00);
  EXPECT_EQ(ToF16(-1e30f).bits, 0xfc00);
  EXPECT_EQ(ToF16(1e-30f).bits, 0);
}

}  // namespace
}  // namespace winnow
