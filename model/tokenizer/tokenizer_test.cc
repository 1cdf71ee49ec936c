#include "model/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "model/tokenizer/recorded_data.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Ids = std::vector<uint32_t>;
using Json = nlohmann::json;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// A small file in which every part can be changed.
Json SmallFile() {
  return Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 5, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "post_processor": {"type": "TemplateProcessing",
                       "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                       "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [5], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "ab": 2, "abab": 3, "\u0120": 4}, "merges": ["a b", ["ab", "ab"]]}})");
}

TEST(TokenizerTest, SmallFile) {
  const auto tokenizer = Tokenizer::FromJson(SmallFile().dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->Encode("ababab<s> a", true).value(), (Ids{5, 3, 2, 5, 4, 0}));
  EXPECT_EQ((*tokenizer)->Encode("", false).value(), Ids{});
  EXPECT_EQ((*tokenizer)->Encode("", true).value(), Ids{5});
  EXPECT_EQ((*tokenizer)->Decode({5, 3, 2, 5, 4, 0}, false).value(), "ababab a");
  EXPECT_EQ((*tokenizer)->Decode({5, 3, 2, 5, 4, 0}, true).value(), "<s>ababab<s> a");
  EXPECT_EQ((*tokenizer)->vocab_size(), 6u);
  EXPECT_EQ((*tokenizer)->IdToToken(2), "ab");
  EXPECT_EQ((*tokenizer)->IdToToken(5), "<s>");
  EXPECT_EQ((*tokenizer)->IdToToken(6), std::nullopt);
  EXPECT_EQ((*tokenizer)->TokenToId("<s>"), 5u);
  EXPECT_EQ((*tokenizer)->TokenToId("c"), std::nullopt);
  EXPECT_TRUE((*tokenizer)->IsSpecial(5));
  EXPECT_FALSE((*tokenizer)->IsSpecial(0));
  EXPECT_FALSE((*tokenizer)->IsSpecial(6));
}

// One change to the small file that makes it wrong, and what the message must name.
struct BadFile {
  const char* pointer;  // JSON pointer of what is replaced or added
  const char* value;
  const char* field;
  const char* complaint;
};

class BadFileTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadFileTest, IsRefusedNamingTheField) {
  Json file = SmallFile();
  file[Json::json_pointer(GetParam().pointer)] = Json::parse(GetParam().value);
  const auto tokenizer = Tokenizer::FromJson(file.dump());
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(tokenizer.status()),
              AllOf(HasSubstr(GetParam().field), HasSubstr(GetParam().complaint)));
}

const char kToken[] =
    R"({"id": 6, "content": "X", "single_word": false, "lstrip": false, "rstrip": false,
                          "normalized": true, "special": false})";

INSTANTIATE_TEST_SUITE_P(
    Files, BadFileTest,
    testing::Values(
        BadFile{"/version", "\"2.0\"", "version", "2.0"},
        BadFile{"/version", "1", "version", "expected a string"},
        BadFile{"/truncation", "{\"max_length\": 5}", "truncation", "not supported"},
        BadFile{"/padding", "{}", "padding", "not supported"},
        BadFile{"/extra", "7", "extra", "not a supported field (value 7)"},
        BadFile{"/model", "3", "model", "expected an object, not 3"},
        BadFile{"/model/type", "\"Unigram\"", "model.type", "Unigram"},
        BadFile{"/model/dropout", "0.1", "model.dropout", "0.1"},
        BadFile{"/model/continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix",
                "##"},
        BadFile{"/model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix", "</w>"},
        BadFile{"/model/unk_token", "\"<unk>\"", "model.unk_token", "<unk>"},
        BadFile{"/model/fuse_unk", "1", "model.fuse_unk", "expected true or false"},
        BadFile{"/model/cache", "1", "model.cache", "not a supported field"},
        BadFile{"/model/vocab", "[]", "model.vocab", "expected an object"},
        BadFile{"/model/vocab/c", "2", "model.vocab", "same id 2"},
        BadFile{"/model/vocab/c", "-1", "model.vocab", "the id of \"c\" is -1"},
        BadFile{"/model/vocab/c", "1.5", "model.vocab", "1.5"},
        BadFile{"/model/vocab/c", "4294967296", "model.vocab", "4294967296"},
        BadFile{"/model/vocab/c", "16777216", "model.vocab", "below 16777216"},
        BadFile{"/model/merges", "{}", "model.merges", "expected an array"},
        BadFile{"/model/merges/0", "\"a c\"", "model.merges[0]",
                "token \"c\" is not in the vocabulary"},
        BadFile{"/model/merges/0", "\"b a\"", "model.merges[0]", "\"ba\" is not in the vocabulary"},
        BadFile{"/model/merges/1", "\"ab\"", "model.merges[1]", "a space between"},
        BadFile{"/model/merges/1", "\"a b c\"", "model.merges[1]", "a space between"},
        BadFile{"/model/merges/1", "[\"a\"]", "model.merges[1]", "two strings"},
        BadFile{"/model/merges/1", "[\"a\", \"\"]", "model.merges[1]", "an empty token"},
        BadFile{"/added_tokens", "{}", "added_tokens", "expected an array"},
        BadFile{"/added_tokens/0/id", "2", "added_tokens[0].id", "same id 2"},
        BadFile{"/added_tokens/0/content", "\"ab\"", "added_tokens[0].id", "two ids, 2 and 5"},
        BadFile{"/added_tokens/0/content", "\"\"", "added_tokens[0].content", "empty"},
        BadFile{"/added_tokens/0/lstrip", "null", "added_tokens[0].lstrip", "missing"},
        BadFile{"/added_tokens/0/new", "1", "added_tokens[0].new", "not a supported field"},
        BadFile{"/normalizer", "{\"type\": \"Precompiled\"}", "normalizer.type", "Precompiled"},
        BadFile{"/normalizer", "{\"type\": \"NFC\", \"x\": 1}", "normalizer.x",
                "not a supported field"},
        BadFile{"/pre_tokenizer/type", "\"BertPreTokenizer\"", "pre_tokenizer.type",
                "BertPreTokenizer"},
        BadFile{"/pre_tokenizer/add_prefix_space", "null", "pre_tokenizer.add_prefix_space",
                "missing"},
        BadFile{
            "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolate", "invert": false})",
            "pre_tokenizer.behavior", "Isolate"},
        BadFile{
            "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false})",
            "pre_tokenizer.pattern", "not closed"},
        BadFile{
            "/pre_tokenizer",
            R"({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false})",
            "pre_tokenizer.pattern", "empty"},
        BadFile{"/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [{"type": "Digits"}]})",
                "pre_tokenizer.pretokenizers[0].individual_digits", "missing"},
        BadFile{"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "__"})",
                "pre_tokenizer.replacement", "one character"},
        BadFile{"/pre_tokenizer",
                R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})",
                "pre_tokenizer.prepend_scheme", "last"},
        BadFile{"/decoder/type", "\"WordPiece\"", "decoder.type", "WordPiece"},
        BadFile{"/decoder",
                R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})",
                "decoder.decoders[1].type", "not supported after"},
        BadFile{"/decoder", R"({"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""})",
                "decoder.pattern", "a+"},
        BadFile{"/decoder", R"({"type": "Strip", "content": "", "start": 1, "stop": 0})",
                "decoder.content", "one character"},
        BadFile{"/post_processor/type", "\"BertProcessing\"", "post_processor.type",
                "BertProcessing"},
        BadFile{"/post_processor/single/0/SpecialToken/id", "\"<x>\"",
                "post_processor.single[0].SpecialToken.id", "<x>"},
        BadFile{"/post_processor/single/1/Sequence/id", "\"B\"",
                "post_processor.single[1].Sequence.id", "B"},
        BadFile{"/post_processor/single", "[]", "post_processor.single", "without the text"},
        BadFile{"/post_processor/special_tokens/<s>/ids/0", "77",
                "post_processor.special_tokens.<s>.ids", "77"}));

TEST(TokenizerTest, NormalizerThatLeavesNothingOfAToken) {
  Json file = SmallFile();
  file["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "X"}}}, {"content", ""}};
  file["added_tokens"].push_back(Json::parse(kToken));
  const auto tokenizer = Tokenizer::FromJson(file.dump());
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_THAT(Message(tokenizer.status()), HasSubstr("added_tokens[1].content"));
}

TEST(TokenizerTest, RefusesWhatIsNoJsonObject) {
  for (const std::string text :
       {"", "{", "[]", "null", "{\"a\": 1,}", "\xFF", "{\"\xC3\": 1}", "{\"a\": \"\\ud800\"}"}) {
    EXPECT_EQ(Tokenizer::FromJson(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  const auto twice = Tokenizer::FromJson(R"({"version": "1.0", "version": "1.0"})");
  EXPECT_THAT(Message(twice.status()), HasSubstr("the key \"version\" twice"));
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += "{\"type\":\"Sequence\",\"normalizers\":[";
  EXPECT_EQ(Tokenizer::FromJson(deep).status().code(), absl::StatusCode::kInvalidArgument);
  for (int i = 0; i < 20'000; ++i) deep += "]}";
  EXPECT_THAT(Message(Tokenizer::FromJson(deep).status()), HasSubstr("nested deeper"));
}

TEST(TokenizerTest, LoadNamesTheFile) {
  const auto missing = Tokenizer::Load("no/such/tokenizer.json");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(missing.status()), HasSubstr("no/such/tokenizer.json"));
  EXPECT_EQ(Tokenizer::Load("tests").status().code(), absl::StatusCode::kInvalidArgument);
  const auto other = Tokenizer::Load("deploy/demo-model/config.json");
  EXPECT_EQ(other.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(other.status()), HasSubstr("deploy/demo-model/config.json: "));
}

TEST(TokenizerTest, InvalidUtf8NamesTheByte) {
  const auto tokenizer = LoadRecordedTokenizer("demo");
  const auto ids = tokenizer->Encode("abc\xE4\xBD", true);
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(ids.status()), HasSubstr("byte 3"));
  EXPECT_THAT(Message(tokenizer->Encode("\xED\xA0\x80", true).status()), HasSubstr("byte 0"));
}

TEST(TokenizerTest, DecodeNamesTheUnknownId) {
  const auto tokenizer = LoadRecordedTokenizer("demo");
  const auto text = tokenizer->Decode({5, 1024}, true);
  EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(text.status()), AllOf(HasSubstr("1024"), HasSubstr("vocabulary")));
  EXPECT_FALSE(tokenizer->Decode({UINT32_MAX}, true).ok());
}

TEST(TokenizerTest, DemoSamples) {
  const auto tokenizer = LoadRecordedTokenizer("demo");
  const Json samples = Json::parse(ReadTestFile("tests/data/demo_samples.json"));
  ASSERT_EQ(samples.size(), 10u);
  for (const Json& sample : samples) {
    EXPECT_EQ(tokenizer->Encode(sample["prompt"].get<std::string>(), true).value(),
              sample["tokens"].get<Ids>());
    EXPECT_EQ(tokenizer->Decode(sample["greedy_tokens"].get<Ids>(), false).value(),
              sample["greedy_text"].get<std::string>());
  }
}

// Random text of all kinds of characters, no special tokens in it.
std::string RandomText(std::mt19937_64* rng) {
  static constexpr char32_t kBlocks[] = {0x0,    0x20,   0x41,   0x61,   0xC0,    0x300,
                                         0x400,  0x600,  0x900,  0x1100, 0x2000,  0x3040,
                                         0x4E00, 0xAC00, 0xE000, 0xFF00, 0x1F600, 0x10FF00};
  std::string text;
  const size_t length = (*rng)() % 40;
  for (size_t i = 0; i < length; ++i) {
    char32_t c = (*rng)() % 16 == 0 ? (*rng)() % 0x110000
                                    : kBlocks[(*rng)() % std::size(kBlocks)] + (*rng)() % 26;
    if ((c >= 0xD800 && c < 0xE000) || c == '<') c = ' ';
    AppendUtf8(c, &text);
  }
  return text;
}

TEST(TokenizerTest, DecodingTheEncodedGivesTheText) {
  const auto demo = LoadRecordedTokenizer("demo");
  const auto llama = LoadRecordedTokenizer("llama");
  std::mt19937_64 rng(20231123);
  for (int i = 0; i < 5'000; ++i) {
    const std::string text = RandomText(&rng);
    for (const auto* tokenizer : {&demo, &llama}) {
      // The Llama kind writes U+2581 for a space: that character does not come back.
      if (tokenizer == &llama && text.find("\u2581") != std::string::npos) continue;
      const Ids ids = (*tokenizer)->Encode(text, false).value();
      ASSERT_EQ((*tokenizer)->Decode(ids, true).value(), text) << Json(text);
    }
  }
}

TEST(TokenizerTest, ManyThreadsEncodeAlike) {
  const auto tokenizer = LoadRecordedTokenizer("qwen");
  const std::vector<std::string> strings = ReadRecordedStrings();
  const auto encode_all = [&] {
    std::vector<Ids> all;
    for (size_t i = 0; i < 500; ++i) all.push_back(tokenizer->Encode(strings[i], true).value());
    return all;
  };
  const std::vector<Ids> expected = encode_all();
  std::vector<std::vector<Ids>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = encode_all(); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

}  // namespace
}  // namespace winnow
