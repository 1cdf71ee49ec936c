#include "model/tokenizer/bpe_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace winnow {
namespace {

using Ids = std::vector<uint32_t>;
using Json = nlohmann::json;

class Bpe {
 public:
  explicit Bpe(const Json& json) : json_(Json::parse(json.dump())) {
    auto model = BpeModel::Load(*JsonObject::From(json_, "model"), &vocabulary_);
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }
  Ids Encode(std::string_view word) {
    Ids ids;
    model_->EncodeWord(word, &scratch_, &ids);
    return ids;
  }

 private:
  Json json_;
  Vocabulary vocabulary_;
  std::unique_ptr<const BpeModel> model_;
  BpeScratch scratch_;
};

// The definition: merge the leftmost pair of the lowest rank until there is none.
Ids NaiveBpe(Ids ids,
             const std::map<std::pair<uint32_t, uint32_t>, std::pair<size_t, uint32_t>>& merges) {
  while (true) {
    size_t best = ids.size();
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto it = merges.find({ids[i], ids[i + 1]});
      if (it == merges.end()) continue;
      if (best == ids.size() || it->second.first < merges.at({ids[best], ids[best + 1]}).first)
        best = i;
    }
    if (best == ids.size()) return ids;
    ids[best] = merges.at({ids[best], ids[best + 1]}).second;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(BpeModelTest, EqualsTheDefinitionOnRandomMerges) {
  std::mt19937_64 rng(7);
  for (int round = 0; round < 200; ++round) {
    // Three letters and random merges of what is there, so that one text has many ways to be
    // merged.
    std::vector<std::string> tokens = {"a", "b", "c"};
    std::map<std::string, uint32_t> vocab = {{"a", 0}, {"b", 1}, {"c", 2}};
    std::map<std::pair<uint32_t, uint32_t>, std::pair<size_t, uint32_t>> merges;
    Json merge_list = Json::array();
    for (size_t rank = 0; rank < 30; ++rank) {
      const std::string left = tokens[rng() % tokens.size()], right = tokens[rng() % tokens.size()];
      if (left.size() + right.size() > 8 || merges.contains({vocab[left], vocab[right]})) continue;
      const auto [it, inserted] = vocab.emplace(left + right, static_cast<uint32_t>(vocab.size()));
      if (inserted) tokens.push_back(it->first);
      merges[{vocab[left], vocab[right]}] = {merge_list.size(), it->second};
      merge_list.push_back(Json::array({left, right}));
    }
    Bpe bpe({{"type", "BPE"}, {"vocab", vocab}, {"merges", merge_list}});
    for (int i = 0; i < 50; ++i) {
      std::string word(rng() % 60, ' ');
      Ids ids;
      for (char& c : word) {
        ids.push_back(static_cast<uint32_t>(rng() % 3));
        c = static_cast<char>('a' + ids.back());
      }
      ASSERT_EQ(bpe.Encode(word), NaiveBpe(ids, merges)) << word << merge_list;
    }
  }
}

TEST(BpeModelTest, UnknownCharacters) {
  const Json vocab = {{"<unk>", 0}, {"a", 1}, {"<0xC3>", 2}, {"<0xA9>", 3}};
  const auto model = [&](bool fuse, bool bytes, Json unknown) {
    return Bpe({{"type", "BPE"},
                {"vocab", vocab},
                {"merges", Json::array()},
                {"unk_token", unknown},
                {"fuse_unk", fuse},
                {"byte_fallback", bytes}});
  };
  EXPECT_EQ(model(false, false, nullptr).Encode("a世éa"), (Ids{1, 1}));
  EXPECT_EQ(model(false, false, "<unk>").Encode("a世éa"), (Ids{1, 0, 0, 1}));
  EXPECT_EQ(model(true, false, "<unk>").Encode("a世éa世"), (Ids{1, 0, 1, 0}));
  EXPECT_EQ(model(false, true, nullptr).Encode("a世éa"), (Ids{1, 2, 3, 1}));
  // As recorded from the reference: a waiting unknown token comes after the bytes that follow it.
  EXPECT_EQ(model(true, true, "<unk>").Encode("世é世é"), (Ids{2, 3, 2, 3, 0}));
  EXPECT_EQ(model(false, true, "<unk>").Encode("世é世a"), (Ids{2, 3, 0, 0, 1}));
}

TEST(BpeModelTest, IgnoreMergesTakesWholeWords) {
  const Json vocab = {{"a", 0}, {"b", 1}, {"ab", 2}, {"aba", 3}};
  Json json = {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b"}}};
  EXPECT_EQ(Bpe(json).Encode("aba"), (Ids{2, 0}));
  json["ignore_merges"] = true;
  EXPECT_EQ(Bpe(json).Encode("aba"), (Ids{3}));
  EXPECT_EQ(Bpe(json).Encode("abab"), (Ids{2, 2}));
}

TEST(BpeModelTest, EmptyWord) {
  EXPECT_EQ(Bpe({{"vocab", {{"a", 0}}}, {"merges", Json::array()}}).Encode(""), Ids{});
}

TEST(BpeModelTest, ManyCharactersInOneWord) {
  const Json vocab = {{"a", 0}, {"aa", 1}, {"aaaa", 2}};
  Bpe bpe({{"vocab", vocab}, {"merges", {"a a", "aa aa"}}});
  EXPECT_EQ(bpe.Encode(std::string(300'003, 'a')).size(), 75'002u);
}

}  // namespace
}  // namespace winnow
