// Damaged checkpoints: whatever stands in the files, loading them ends in a status. Files that
// still load must hold what they claim: every byte of every tensor is read.
//
// Deterministic: WINNOW_FUZZ_ROUNDS mutants of each kind from fixed seeds.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/checkpoint_files.h"
#include "model/config.h"
#include "model/safetensors.h"
#include "model/testing/test_files.h"
#include "model/weights.h"

namespace winnow {
namespace {

using nlohmann::json;
using testing_files::NewDirectory;
using testing_files::ReadWholeFile;
using testing_files::SafetensorsBytes;
using testing_files::WriteFile;
using Random = std::mt19937_64;

constexpr int kRounds = WINNOW_FUZZ_ROUNDS;

// What a header or a config might contain instead.
constexpr const char* kTokens[] = {"0",
                                   "-1",
                                   "1e999",
                                   "1.5",
                                   "null",
                                   "true",
                                   "[]",
                                   "{}",
                                   "\"\"",
                                   "[",
                                   "]",
                                   "{",
                                   "}",
                                   ",",
                                   ":",
                                   "\"",
                                   "\\",
                                   "NaN",
                                   "\\u0000",
                                   "\\ud800",
                                   "\xff",
                                   "\xc3",
                                   "[[[[[",
                                   "{\"a\":",
                                   "1e5",
                                   "2147483648",
                                   "4294967296",
                                   "9223372036854775807",
                                   "9223372036854775808",
                                   "18446744073709551615",
                                   "99999999999999999999",
                                   "\"dtype\"",
                                   "\"shape\"",
                                   "\"data_offsets\"",
                                   "\"__metadata__\"",
                                   "\"BF16\"",
                                   "\"F4\""};

// A few changes at random places: bytes, tokens, cuts, repetitions.
std::string Mutate(std::string text, Random& random) {
  for (int64_t edits = 1 + random() % 4; edits > 0; --edits) {
    const size_t at = random() % (text.size() + 1);
    const size_t length = std::min<size_t>(random() % 12, text.size() - at);
    switch (random() % 6) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      case 1:
        if (at < text.size()) text[at] ^= static_cast<char>(1 << random() % 8);
        break;
      case 2:
        text.insert(at, kTokens[random() % std::size(kTokens)]);
        break;
      case 3:
        text.replace(at, length, kTokens[random() % std::size(kTokens)]);
        break;
      case 4:
        text.erase(at, length);
        break;
      default:
        text.insert(at, text.substr(random() % (text.size() + 1), random() % 40));
    }
  }
  return text;
}

// Replaces one digit run of the text by another number.
std::string MutateNumber(std::string text, Random& random) {
  const size_t start = text.find_first_of("0123456789", random() % (text.size() + 1));
  if (start == std::string::npos) return text;
  const size_t end = std::min(text.find_first_not_of("0123456789", start), text.size());
  const uint64_t old = std::strtoull(text.c_str() + start, nullptr, 10);
  const uint64_t choices[] = {old + 1, old - 1, old * 2, old / 2, 0, random() % 4096, random()};
  return text.replace(start, end - start, std::to_string(choices[random() % std::size(choices)]));
}

// Reads everything that the entries claim; under sanitizers, a claim beyond the file is caught.
void Touch(const SafetensorsEntries& entries, std::string_view file) {
  static volatile unsigned sink = 0;
  for (const auto& [name, entry] : entries) {
    const auto* data = reinterpret_cast<const char*>(entry.data);
    ASSERT_GE(data, file.data());
    ASSERT_LE(entry.size_bytes, file.data() + file.size() - data);
    unsigned sum = 0;
    for (int64_t i = 0; i < entry.size_bytes; ++i) sum += static_cast<unsigned char>(data[i]);
    sink = sink + sum;
  }
}

void ParseAndTouch(const std::string& bytes) {
  // A copy of the exact size: reads beyond it do not go unnoticed.
  const std::vector<char> file(bytes.begin(), bytes.end());
  const std::string_view view(file.data(), file.size());
  SafetensorsMetadata metadata;
  const auto entries = ParseSafetensors(view, &metadata);
  if (entries.ok()) {
    Touch(*entries, view);
  } else {
    EXPECT_FALSE(entries.status().message().empty());
  }
}

std::string SmallFile() {
  return SafetensorsBytes({{"model.norm.weight", "BF16", {4}, "12345678"},
                           {"a", "F32", {2, 1}, "abcdefgh"},
                           {"empty", "U8", {0}, ""},
                           {"scalar", "I64", {}, "87654321"}});
}

TEST(CheckpointFuzzTest, SafetensorsBytes) {
  Random random(1);
  const std::string file = SmallFile();
  for (int i = 0; i < kRounds; ++i) ParseAndTouch(Mutate(file, random));
}

TEST(CheckpointFuzzTest, SafetensorsTruncated) {
  const std::string file = SmallFile();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(ParseSafetensors(std::string_view(file).substr(0, size), nullptr).ok()) << size;
  }
}

// With the length that fits, so that the mutants get past the framing.
TEST(CheckpointFuzzTest, SafetensorsHeaders) {
  Random random(2);
  const std::string file = SmallFile();
  const std::string header = file.substr(8, file.size() - 8 - 24),
                    data = file.substr(file.size() - 24);
  int valid = 0;
  for (int i = 0; i < kRounds; ++i) {
    const bool numbers = random() % 2 == 0;
    const std::string mutant = numbers ? MutateNumber(header, random) : Mutate(header, random);
    ParseAndTouch(SafetensorsBytes(mutant, data));
    valid += ParseSafetensors(SafetensorsBytes(mutant, data), nullptr).ok();
  }
  EXPECT_GT(valid, 0);
}

TEST(CheckpointFuzzTest, Configs) {
  Random random(3);
  int valid = 0;
  for (const std::string kind : {"gdn", "swa", "attn", "lte", "nsa"}) {
    const std::string text = ReadWholeFile(absl::StrCat("tests/golden/", kind, "/config.json"));
    for (int i = 0; i < kRounds / 5; ++i) {
      const bool numbers = random() % 2 == 0;
      const auto config =
          ParseModelConfig(numbers ? MutateNumber(text, random) : Mutate(text, random));
      if (!config.ok()) continue;
      ++valid;
      EXPECT_GE(config->layers.size(), 1u);
      if (const AttentionConfig* attention = config->attention()) {
        EXPECT_EQ(attention->num_heads * attention->head_dim, config->hidden_size);
        EXPECT_GE(attention->span(), 1);
      }
    }
  }
  EXPECT_GT(valid, 0);
}

// One value of a valid config replaced by one of another type or size.
TEST(CheckpointFuzzTest, ConfigValues) {
  Random random(4);
  const json config = json::parse(ReadWholeFile("tests/golden/lte/config.json"));
  const json flat = config.flatten();
  std::vector<std::string> pointers;
  for (const auto& [pointer, value] : flat.items()) pointers.push_back(pointer);
  const json values[] = {nullptr,
                         true,
                         0,
                         -1,
                         1,
                         7,
                         1.5,
                         1e300,
                         INT64_MAX,
                         UINT64_MAX,
                         "x",
                         "",
                         json::array(),
                         json::object(),
                         json::array({1, 2}),
                         INT64_MIN};
  for (int i = 0; i < kRounds; ++i) {
    json mutant = config;
    const std::string& pointer = pointers[random() % pointers.size()];
    mutant[json::json_pointer(pointer)] = values[random() % std::size(values)];
    (void)ParseModelConfig(mutant.dump());
  }
}

TEST(CheckpointFuzzTest, Indexes) {
  Random random(5);
  const std::string text =
      R"({"metadata": {"total_size": 10}, "weight_map": {"a": "model-1.safetensors",
          "b": "model-2.safetensors", "c": "model-1.safetensors"}})";
  for (int i = 0; i < kRounds; ++i) {
    const auto map = ParseCheckpointIndex(Mutate(text, random));
    if (!map.ok()) continue;
    for (const auto& [tensor, shard] : *map) {
      EXPECT_EQ(shard.find('/'), std::string::npos);
      EXPECT_EQ(std::filesystem::path(shard).filename(), shard);
    }
  }
}

// Whole checkpoints through the files: a mutated header under an unchanged config and the reverse.
TEST(CheckpointFuzzTest, Checkpoints) {
  Random random(6);
  const std::string directory = NewDirectory();
  const std::string model = ReadWholeFile("tests/golden/lte/model.safetensors");
  const std::string text = ReadWholeFile("tests/golden/lte/config.json");
  uint64_t length;
  std::memcpy(&length, model.data(), sizeof(length));
  const std::string header = model.substr(8, length), data = model.substr(8 + length);
  int loaded = 0;
  for (int i = 0; i < std::max(20, kRounds / 100); ++i) {
    const bool mutate_config = random() % 2 == 0;
    const std::string file =
        mutate_config ? model : SafetensorsBytes(MutateNumber(header, random), data);
    WriteFile(directory + "/model.safetensors", file);
    const auto config = ParseModelConfig(mutate_config ? MutateNumber(text, random) : text);
    if (!config.ok()) continue;
    const auto weights = Weights::Load(directory, *config);
    if (!weights.ok()) continue;
    EXPECT_EQ((*weights)->layers.size(), config->layers.size());
    ++loaded;
  }
  EXPECT_GT(loaded, 0);
}

}  // namespace
}  // namespace winnow
