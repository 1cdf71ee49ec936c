// Random damage and random input: nothing that a file or a client holds may crash the tokenizer or
// hang it.
//
// Each case runs for --seconds in all cases together (default 2; a longer run is tagged "long").
// The seed is printed and can be given back with --seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "model/tokenizer/detokenizer.h"
#include "model/tokenizer/recorded_data.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using Ids = std::vector<uint32_t>;
using Json = nlohmann::json;

constexpr int kNumCases = 4;
double g_seconds = 2;
uint64_t g_seed = 0;

class TokenizerFuzzTest : public testing::Test {
 protected:
  // Calls `round` until this case's share of the time is over, at least a few times.
  template <typename Round>
  void Repeat(Round round) {
    const auto start = std::chrono::steady_clock::now();
    const std::chrono::duration<double> share(g_seconds / kNumCases);
    int num_rounds = 0;
    for (; num_rounds < 10 || std::chrono::steady_clock::now() - start < share; ++num_rounds) {
      round();
      if (HasFatalFailure()) return;
    }
    std::cout << num_rounds << " rounds" << std::endl;
  }
  uint64_t Below(uint64_t bound) { return rng_() % bound; }

  std::mt19937_64 rng_{g_seed};
};

// Uses what was loaded, if anything was.
void Exercise(const absl::StatusOr<std::unique_ptr<const Tokenizer>>& tokenizer,
              const std::string& text) {
  if (!tokenizer.ok()) {
    ASSERT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument) << tokenizer.status();
    ASSERT_FALSE(tokenizer.status().message().empty());
    return;
  }
  const auto ids = (*tokenizer)->Encode(text, true);
  if (!ids.ok()) {
    ASSERT_EQ(ids.status().code(), absl::StatusCode::kResourceExhausted) << ids.status();
    return;
  }
  const auto decoded = (*tokenizer)->Decode(*ids, true);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(FindInvalidUtf8(*decoded), std::nullopt);
}

const char kText[] =
    "<s> The naïve 世界 costs 3.14 <|im_start|>e\u0301\n\n  \t😀 don't<mask> aab<tool>\x01";

// Files that hold, between them, every kind of part, and small vocabularies so that a round is
// quick.
std::vector<Json> SmallFiles() {
  std::vector<Json> files;
  for (const Json& variant : ReadJsonLines("tests/data/tokenizers/variants.jsonl")) {
    Json file = Json::parse(ReadTestFile(RecordedTokenizerPath(variant["base"])));
    for (const auto& [key, value] : variant["patch"].items()) {
      (key.starts_with("model.") ? file["model"][key.substr(6)] : file[key]) = value;
    }
    Json vocab = Json::object();
    for (const auto& [token, id] : file["model"]["vocab"].items()) {
      if (CountUtf8(token) == 1 || token[0] == '<') vocab[token] = id;
    }
    file["model"]["vocab"] = vocab;
    file["model"]["merges"] = Json::array();
    files.push_back(file);
  }
  return files;
}

TEST_F(TokenizerFuzzTest, DamagedBytesOfAFile) {
  std::vector<std::string> files;
  for (const Json& file : SmallFiles()) files.push_back(file.dump());
  Repeat([&] {
    std::string file = files[Below(files.size())];
    for (uint64_t n = 1 + Below(4); n > 0; --n) {
      const size_t at = Below(file.size());
      switch (Below(4)) {
        case 0:
          file[at] = static_cast<char>(rng_());
          break;
        case 1:
          file.erase(at, 1 + Below(20));
          break;
        case 2:
          file.insert(at, file.substr(Below(file.size()), Below(40)));
          break;
        default:
          file[at] = "{}[]\",:0-\\etrufalsn"[Below(19)];
      }
      if (file.empty()) file = "{";
    }
    if (Below(50) == 0) file.resize(Below(file.size()));
    Exercise(Tokenizer::FromJson(file), kText);
  });
}

// A random value somewhere in a document, but for the long lists.
Json* RandomPlace(Json* json, std::mt19937_64* rng) {
  while (json->is_structured() && !json->empty() && json->size() < 50 && (*rng)() % 8 != 0) {
    json = &*std::next(json->begin(), static_cast<std::ptrdiff_t>((*rng)() % json->size()));
  }
  return json;
}

// Keeps the file JSON, so that the damage comes further than the parser.
TEST_F(TokenizerFuzzTest, DamagedValuesOfAFile) {
  const std::vector<Json> files = SmallFiles();
  const std::vector<Json> values = {nullptr,
                                    true,
                                    false,
                                    0,
                                    -1,
                                    7,
                                    4294967295u,
                                    1e300,
                                    0.5,
                                    "",
                                    "a",
                                    "A",
                                    "é",
                                    "<s>",
                                    "▁",
                                    "Regex",
                                    "(?i)a+",
                                    "\\s+(?!\\S)|",
                                    "[^\\s\\p{L}]",
                                    "a*",
                                    "x{2,}+",
                                    "ByteLevel",
                                    "ByteFallback",
                                    "Fuse",
                                    "Removed",
                                    "first",
                                    "never",
                                    "Sequence",
                                    Json::array(),
                                    Json::object(),
                                    {{"type", "Fuse"}},
                                    {{"Regex", "(a|b)*?c"}},
                                    {{"String", "e"}}};
  Repeat([&] {
    Json file = files[Below(files.size())];
    for (uint64_t n = 1 + Below(3); n > 0; --n) {
      Json* place = RandomPlace(&file, &rng_);
      if (Below(3) == 0) {
        Json other = files[Below(files.size())];
        *place = *RandomPlace(&other, &rng_);
      } else {
        *place = values[Below(values.size())];
      }
    }
    Exercise(Tokenizer::FromJson(file.dump()), kText);
  });
}

TEST_F(TokenizerFuzzTest, AnyBytesEncode) {
  std::vector<std::unique_ptr<const Tokenizer>> tokenizers;
  for (const std::string& name : RecordedTokenizerNames())
    tokenizers.push_back(LoadRecordedTokenizer(name));
  const std::vector<std::string> strings = ReadRecordedStrings();
  Repeat([&] {
    std::string text;
    for (uint64_t n = Below(6); n > 0; --n) text += strings[Below(strings.size())];
    for (uint64_t n = Below(3); n > 0 && !text.empty(); --n)
      text[Below(text.size())] = static_cast<char>(rng_());
    const auto invalid = FindInvalidUtf8(text);
    for (const auto& tokenizer : tokenizers) {
      const auto ids = tokenizer->Encode(text, Below(2) == 0);
      if (invalid.has_value()) {
        ASSERT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
        ASSERT_TRUE(
            std::string(ids.status().message()).ends_with("byte " + std::to_string(*invalid)));
      } else {
        ASSERT_TRUE(ids.ok()) << ids.status();
        ASSERT_TRUE(tokenizer->CheckIds(*ids).ok());
      }
    }
    if (!invalid.has_value() && text.find("<|") == std::string::npos) {
      ASSERT_EQ(tokenizers[0]->Decode(tokenizers[0]->Encode(text, false).value(), true).value(),
                text);
    }
  });
}

TEST_F(TokenizerFuzzTest, AnyIdsDecode) {
  std::vector<std::unique_ptr<const Tokenizer>> tokenizers;
  for (const std::string& name : RecordedTokenizerNames())
    tokenizers.push_back(LoadRecordedTokenizer(name));
  Repeat([&] {
    const Tokenizer& tokenizer = *tokenizers[Below(tokenizers.size())];
    const bool include_special = Below(2) == 0;
    const bool all_known = Below(4) != 0;
    Ids ids(Below(60));
    for (uint32_t& id : ids) {
      id = static_cast<uint32_t>(Below(tokenizer.vocab_size()));
      if (!all_known && Below(8) == 0) id = static_cast<uint32_t>(rng_());
    }
    IncrementalDetokenizer detokenizer(&tokenizer, IncrementalDetokenizer::Start::kText,
                                       include_special);
    std::string text;
    Ids taken;
    for (const uint32_t id : ids) {
      const auto piece = detokenizer.Append(id);
      ASSERT_EQ(piece.ok(), tokenizer.IdToToken(id).has_value());
      if (!piece.ok()) continue;
      ASSERT_EQ(FindInvalidUtf8(*piece), std::nullopt);
      text += *piece;
      taken.push_back(id);
    }
    ASSERT_EQ(tokenizer.Decode(ids, include_special).ok(), taken.size() == ids.size());
    ASSERT_EQ(text + detokenizer.Flush(), tokenizer.Decode(taken, include_special).value());
  });
}

}  // namespace

void ReadFuzzFlags(int argc, char** argv) {
  g_seed = std::random_device()();
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with("--seconds=")) g_seconds = std::stod(flag.substr(10));
    if (flag.starts_with("--seed=")) g_seed = std::stoull(flag.substr(7));
  }
  std::cout << "--seed=" << g_seed << " --seconds=" << g_seconds << std::endl;
}

}  // namespace winnow

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  winnow::ReadFuzzFlags(argc, argv);
  return RUN_ALL_TESTS();
}
