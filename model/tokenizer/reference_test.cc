// Compares with what the reference implementation made of 10,000 strings
// (tools/record_tokenizer_data.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/tokenizer/recorded_data.h"
#include "model/tokenizer/tokenizer.h"

namespace winnow {
namespace {

using Ids = std::vector<uint32_t>;

class ReferenceTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    tokenizer_ = LoadRecordedTokenizer(GetParam());
    strings_ = ReadRecordedStrings();
    recording_ = ReadRecording(GetParam(), strings_);
  }

  std::unique_ptr<const Tokenizer> tokenizer_;
  std::vector<std::string> strings_;
  Recording recording_;
};

TEST_P(ReferenceTest, EncodesAllStringsAlike) {
  ASSERT_EQ(strings_.size(), 10'000u);
  int num_failures = 0;
  for (size_t i = 0; i < strings_.size() && num_failures < 10; ++i) {
    const auto plain = tokenizer_->Encode(strings_[i], false);
    ASSERT_TRUE(plain.ok()) << plain.status() << ": " << nlohmann::json(strings_[i]);
    EXPECT_EQ(*plain, recording_.texts[i].ids) << nlohmann::json(strings_[i]);
    num_failures += *plain != recording_.texts[i].ids;

    Ids framed = recording_.prefix;
    framed.insert(framed.end(), plain->begin(), plain->end());
    framed.insert(framed.end(), recording_.suffix.begin(), recording_.suffix.end());
    EXPECT_EQ(tokenizer_->Encode(strings_[i], true).value(), framed);
  }
}

TEST_P(ReferenceTest, DecodesAllStringsAlike) {
  for (const RecordedText& text : recording_.texts) {
    ASSERT_EQ(tokenizer_->Decode(text.ids, false).value(), text.without_special);
    ASSERT_EQ(tokenizer_->Decode(text.ids, true).value(), text.with_special);
  }
}

TEST_P(ReferenceTest, DecodesRandomIdsAlike) {
  ASSERT_EQ(recording_.id_sequences.size(), 500u);
  for (const RecordedText& text : recording_.id_sequences) {
    ASSERT_EQ(tokenizer_->Decode(text.ids, false).value(), text.without_special);
    ASSERT_EQ(tokenizer_->Decode(text.ids, true).value(), text.with_special);
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, ReferenceTest, testing::ValuesIn(RecordedTokenizerNames()),
                         [](const auto& info) { return info.param; });

// Every option of every stage, as a change to one of the tokenizers.
TEST(ReferenceVariantsTest, EncodeAndDecodeAlike) {
  const std::vector<std::string> strings = ReadRecordedStrings();
  const auto variants = ReadJsonLines("tests/data/tokenizers/variants.jsonl");
  ASSERT_GE(variants.size(), 60u);
  for (const nlohmann::json& variant : variants) {
    SCOPED_TRACE(variant["name"]);
    auto file = nlohmann::json::parse(ReadTestFile(RecordedTokenizerPath(variant["base"])));
    for (const auto& [key, value] : variant["patch"].items()) {
      (key.starts_with("model.") ? file["model"][key.substr(6)] : file[key]) = value;
    }
    const auto tokenizer = Tokenizer::FromJson(file.dump());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (size_t i = 0; i < variant["strings"].size(); ++i) {
      const std::string& string = strings[variant["strings"][i].get<size_t>()];
      const Ids expected = variant["ids"][i].get<Ids>();
      const auto ids = (*tokenizer)->Encode(string, false);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, expected) << nlohmann::json(string);
      const nlohmann::json& decoded = variant["decoded"][i];
      EXPECT_EQ((*tokenizer)->Decode(expected, true).value(),
                decoded.is_null() ? string : decoded.get<std::string>());
    }
  }
}

}  // namespace
}  // namespace winnow
