// Tokens that stand beside the model's vocabulary ("added_tokens"): found in the text as they are
// written, before the model sees it. Special ones (<|bos|>) carry meaning, not text; the others are
// just words that must stay whole.
//
// Tokens with "normalized": false are looked for in the text as it came, the others in what the
// normalizer made of the text between those, written as the normalizer writes them. The leftmost
// match wins, of those the longest.
//
// Immutable after loading, safe from any thread.
#ifndef WINNOW_MODEL_TOKENIZER_ADDED_TOKENS_H_
#define WINNOW_MODEL_TOKENIZER_ADDED_TOKENS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/vocabulary.h"

namespace winnow {

struct AddedToken {
  std::string content;
  uint32_t id = 0;
  bool single_word = false;  // not where a word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = false;
  bool special = false;
};

// A stretch of text between added tokens, or one of them.
struct AddedTokenPiece {
  size_t begin;
  size_t end;
  std::optional<uint32_t> id;
};

// Finds a set of tokens in text.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher();

  // Looks for `pattern` as `token`. Of equal patterns the first added wins. REQUIRES: pattern is
  // not empty.
  void Add(std::string_view pattern, const AddedToken& token);

  // Cuts `text` into tokens and what lies between, in order. REQUIRES: text is valid UTF-8.
  void Cut(std::string_view text, std::vector<AddedTokenPiece>* pieces) const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Match {
    size_t end;
    uint32_t token;
  };
  std::optional<Match> LongestAt(std::string_view text, size_t begin) const;

  std::vector<AddedToken> tokens_;
  // A trie over bytes: (node << 8 | byte) -> node, and the token that ends at a node.
  absl::flat_hash_map<uint64_t, uint32_t> edges_;
  std::vector<uint32_t> token_at_node_;
  std::array<bool, 256> first_bytes_;
};

class AddedTokens {
 public:
  // Reads the items of the "added_tokens" array and adds them to `vocabulary`, which holds the
  // model's tokens already. `normalizer` may be null. An id is taken as the file says;
  // InvalidArgument when it contradicts the vocabulary.
  static absl::StatusOr<AddedTokens> Load(std::vector<JsonObject> items,
                                          const Normalizer* normalizer, Vocabulary* vocabulary);

  const AddedTokenMatcher& raw() const { return raw_; }
  const AddedTokenMatcher& normalized() const { return normalized_; }

 private:
  AddedTokenMatcher raw_;
  AddedTokenMatcher normalized_;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_ADDED_TOKENS_H_
