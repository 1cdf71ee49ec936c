#include "model/tokenizer/detokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "model/tokenizer/recorded_data.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using Ids = std::vector<uint32_t>;
using Start = IncrementalDetokenizer::Start;
using Json = nlohmann::json;

// A tokenizer that only decodes: ids are indexes into `tokens`.
std::unique_ptr<const Tokenizer> Decoding(const std::vector<std::string>& tokens, Json decoder) {
  Json vocab = Json::object();
  for (size_t i = 0; i < tokens.size(); ++i) vocab[tokens[i]] = i;
  const Json file = {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
                     {"decoder", std::move(decoder)}};
  auto tokenizer = Tokenizer::FromJson(file.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

Json LlamaDecoder() {
  return {{"type", "Sequence"},
          {"decoders",
           {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
            {{"type", "ByteFallback"}},
            {{"type", "Fuse"}},
            {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
}

// Feeds ids in random portions and checks that every piece is whole UTF-8.
std::string InPieces(const Tokenizer& tokenizer, const Ids& ids, bool include_special,
                     std::mt19937_64* rng) {
  IncrementalDetokenizer detokenizer(&tokenizer, Start::kText, include_special);
  std::string text;
  for (size_t i = 0; i < ids.size();) {
    const size_t count = std::min<size_t>(ids.size() - i, (*rng)() % 4);
    const auto piece = detokenizer.Append(absl::MakeConstSpan(ids).subspan(i, count));
    EXPECT_TRUE(piece.ok()) << piece.status();
    EXPECT_EQ(FindInvalidUtf8(*piece), std::nullopt);
    text += *piece;
    i += count;
    if ((*rng)() % 8 == 0)
      detokenizer = IncrementalDetokenizer(detokenizer);  // a copy goes on alike
  }
  return text + detokenizer.Flush();
}

TEST(DetokenizerTest, PiecesEqualTheWhole) {
  std::mt19937_64 rng(20231123);
  for (const std::string& name : RecordedTokenizerNames()) {
    const auto tokenizer = LoadRecordedTokenizer(name);
    for (int round = 0; round < 1000; ++round) {
      Ids ids(rng() % 40);
      // Low ids are bytes and special tokens: half of the sequences have many of them.
      const uint32_t bound = round % 2 == 0 ? tokenizer->vocab_size() : 260;
      for (uint32_t& id : ids) id = static_cast<uint32_t>(rng() % bound);
      for (const bool include_special : {false, true}) {
        ASSERT_EQ(InPieces(*tokenizer, ids, include_special, &rng),
                  tokenizer->Decode(ids, include_special).value())
            << name << Json(ids);
      }
    }
  }
}

TEST(DetokenizerTest, PiecesEqualTheWholeForOtherDecoders) {
  std::mt19937_64 rng(5);
  std::vector<std::string> tokens = {"a",  "b", "aa", "ab", "é",  "世", "▁",
                                     "▁a", " ", "  ", "",   "Ã©", "Ã",  "x y"};
  for (const char* byte :
       {"<0x61>", "<0xE4>", "<0xB8>", "<0x96>", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<0xFF>"}) {
    tokens.push_back(byte);
  }
  const auto replace = [](const char* pattern, const char* content) {
    return Json{{"type", "Replace"}, {"pattern", {{"String", pattern}}}, {"content", content}};
  };
  const auto strip = [](const char* content, int start, int stop) {
    return Json{{"type", "Strip"}, {"content", content}, {"start", start}, {"stop", stop}};
  };
  const auto sequence = [](std::vector<Json> decoders) {
    return Json{{"type", "Sequence"}, {"decoders", decoders}};
  };
  const Json fuse = {{"type", "Fuse"}}, bytes = {{"type", "ByteFallback"}},
             level = {{"type", "ByteLevel"}};
  const Json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}};
  for (const Json& decoder : {Json(nullptr), LlamaDecoder(), metaspace, sequence({}),
                              sequence({bytes, metaspace}), sequence({bytes, strip("a", 1, 1)}),
                              sequence({fuse, replace("aab", "<é>"), replace("世世", "")}),
                              sequence({fuse, strip("a", 2, 3)}),
                              sequence({level, replace("abab", "b"), strip("b", 1, 2)}),
                              sequence({replace("a", ""), fuse, metaspace}),
                              sequence({fuse, sequence({metaspace, strip(" ", 0, 2)})})}) {
    const auto tokenizer = Decoding(tokens, decoder);
    for (int round = 0; round < 500; ++round) {
      Ids ids(rng() % 20);
      for (uint32_t& id : ids) id = static_cast<uint32_t>(rng() % tokens.size());
      ASSERT_EQ(InPieces(*tokenizer, ids, true, &rng), tokenizer->Decode(ids, true).value())
          << decoder << Json(ids);
    }
  }
}

TEST(DetokenizerTest, HoldsBytesUntilTheCharacterIsWhole) {
  const auto tokenizer = LoadRecordedTokenizer("demo");
  const Ids ids = tokenizer->Encode("😀", false).value();
  ASSERT_EQ(ids.size(), 4u);
  IncrementalDetokenizer detokenizer(tokenizer.get(), Start::kText, false);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(detokenizer.Append(ids[i]).value(), "");
  EXPECT_EQ(detokenizer.Append(ids[3]).value(), "😀");
  EXPECT_EQ(detokenizer.Append(ids[0]).value(), "");
  EXPECT_EQ(detokenizer.Flush(), "\uFFFD");
}

TEST(DetokenizerTest, BrokenBytesOfTheByteLevelKind) {
  const auto tokenizer = Decoding({"ð", "Ł", "a", "Ā"}, {{"type", "ByteLevel"}});  // F0 9F 'a' 00
  EXPECT_EQ(tokenizer->Decode({0, 1, 2}, true).value(), "\uFFFDa");
  EXPECT_EQ(tokenizer->Decode({0, 0, 1}, true).value(), "\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer->Decode({3}, true).value(), std::string(1, '\0'));
}

TEST(DetokenizerTest, ByteFallbackKeepsWholeCharacters) {
  const auto tokenizer =
      Decoding({"<0x0A>", "<0xE4>", "<0xB8>", "<0x96>", "a", "<0xZZ>"}, LlamaDecoder());
  IncrementalDetokenizer detokenizer(tokenizer.get(), Start::kText, false);
  EXPECT_EQ(detokenizer.Append(0).value(), "\n");  // at once: it may end a stop string
  EXPECT_EQ(detokenizer.Append(1).value(), "");
  EXPECT_EQ(detokenizer.Append(2).value(), "");
  EXPECT_EQ(detokenizer.Append(3).value(), "世");
  EXPECT_EQ(detokenizer.Append({1, 2, 4}).value(), "\uFFFD\uFFFDa");
  EXPECT_EQ(detokenizer.Append({5, 1}).value(), "<0xZZ>");
  EXPECT_EQ(detokenizer.Flush(), "\uFFFD");
}

TEST(DetokenizerTest, OnlyATextsFirstTokenLosesItsSpace) {
  const auto tokenizer = LoadRecordedTokenizer("llama");
  const Ids ids = tokenizer->Encode("the world", false).value();
  IncrementalDetokenizer text(tokenizer.get(), Start::kText, false);
  EXPECT_EQ(text.Append(ids).value() + text.Flush(), "the world");
  IncrementalDetokenizer more(tokenizer.get(), Start::kMidText, false);
  EXPECT_EQ(more.Append(ids).value() + more.Flush(), " the world");

  const auto metaspace = LoadRecordedTokenizer("metaspace");
  IncrementalDetokenizer words(metaspace.get(), Start::kMidText, false);
  EXPECT_EQ(words.Append(metaspace->Encode("the world", false).value()).value(), " the world");

  const auto joined = Decoding({"a", "b"}, nullptr);
  IncrementalDetokenizer spaced(joined.get(), Start::kMidText, false);
  EXPECT_EQ(spaced.Append({0, 1}).value(), " a b");
}

TEST(DetokenizerTest, SpecialTokensLeaveNoTrace) {
  const auto tokenizer = LoadRecordedTokenizer("demo");
  const Ids ids = tokenizer->Encode("a<|eos|>b", true).value();
  IncrementalDetokenizer hidden(tokenizer.get(), Start::kText, false);
  EXPECT_EQ(hidden.Append(ids).value() + hidden.Flush(), "ab");
  IncrementalDetokenizer shown(tokenizer.get(), Start::kText, true);
  EXPECT_EQ(shown.Append(ids).value() + shown.Flush(), "<|bos|>a<|eos|>b");
}

TEST(DetokenizerTest, UnknownIdsAreRefusedAndTheStreamGoesOn) {
  const auto tokenizer = LoadRecordedTokenizer("demo");
  const Ids ids = tokenizer->Encode("ab", false).value();
  IncrementalDetokenizer detokenizer(tokenizer.get(), Start::kText, false);
  EXPECT_EQ(detokenizer.Append(ids[0]).value(), "a");
  EXPECT_EQ(detokenizer.Append({ids[0], 999'999}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(detokenizer.Append(ids[1]).value(), "b");
  EXPECT_EQ(detokenizer.Append(Ids{}).value(), "");
}

}  // namespace
}  // namespace winnow
