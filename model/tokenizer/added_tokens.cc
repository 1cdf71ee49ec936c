#include "model/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "model/tokenizer/concat.h"
#include "model/tokenizer/status_macros.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

uint64_t EdgeKey(uint32_t node, char byte) {
  return uint64_t{node} << 8 | static_cast<uint8_t>(byte);
}

// Where the character before `offset` begins. REQUIRES: offset > 0.
size_t PreviousChar(std::string_view text, size_t offset) {
  do {
    --offset;
  } while ((text[offset] & 0xC0) == 0x80);
  return offset;
}

bool IsSingleWord(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordCharacter(DecodeUtf8(text, PreviousChar(text, begin)).code)) return false;
  return end == text.size() || !IsWordCharacter(DecodeUtf8(text, end).code);
}

// Moves over white space, backward down to `limit` or forward.
size_t SkipSpaceBackward(std::string_view text, size_t offset, size_t limit) {
  while (offset > limit) {
    const size_t previous = PreviousChar(text, offset);
    if (!IsWhitespace(DecodeUtf8(text, previous).code)) break;
    offset = previous;
  }
  return offset;
}
size_t SkipSpaceForward(std::string_view text, size_t offset) {
  while (offset < text.size()) {
    const Utf8Char c = DecodeUtf8(text, offset);
    if (!IsWhitespace(c.code)) break;
    offset += c.num_bytes;
  }
  return offset;
}

absl::StatusOr<AddedToken> ReadAddedToken(JsonObject* object) {
  AddedToken token;
  WINNOW_ASSIGN_OR_RETURN(token.id, object->Uint32("id"));
  WINNOW_ASSIGN_OR_RETURN(token.content, object->String("content"));
  WINNOW_ASSIGN_OR_RETURN(token.single_word, object->Bool("single_word"));
  WINNOW_ASSIGN_OR_RETURN(token.lstrip, object->Bool("lstrip"));
  WINNOW_ASSIGN_OR_RETURN(token.rstrip, object->Bool("rstrip"));
  WINNOW_ASSIGN_OR_RETURN(token.normalized, object->Bool("normalized"));
  WINNOW_ASSIGN_OR_RETURN(token.special, object->Bool("special"));
  WINNOW_RETURN_IF_ERROR(object->Close());
  if (token.content.empty()) return object->Error("content", "an empty token");
  return token;
}

// A token as it looks in normalized text.
absl::StatusOr<std::string> NormalizedPattern(const AddedToken& token, const Normalizer* normalizer,
                                              const JsonObject& object) {
  NormalizedText text{token.content};
  if (normalizer != nullptr) WINNOW_RETURN_IF_ERROR(normalizer->Apply(&text));
  if (text.text.empty()) return object.Error("content", "the normalizer leaves nothing of it");
  return std::move(text.text);
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher() : token_at_node_(1, kNone) { first_bytes_.fill(false); }

void AddedTokenMatcher::Add(std::string_view pattern, const AddedToken& token) {
  uint32_t node = 0;
  for (const char byte : pattern) {
    const uint32_t next = static_cast<uint32_t>(token_at_node_.size());
    const auto [it, inserted] = edges_.emplace(EdgeKey(node, byte), next);
    if (inserted) token_at_node_.push_back(kNone);
    node = it->second;
  }
  if (token_at_node_[node] != kNone) return;
  token_at_node_[node] = static_cast<uint32_t>(tokens_.size());
  tokens_.push_back(token);
  first_bytes_[static_cast<uint8_t>(pattern[0])] = true;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::LongestAt(std::string_view text,
                                                                     size_t begin) const {
  std::optional<Match> longest;
  uint32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const auto it = edges_.find(EdgeKey(node, text[i]));
    if (it == edges_.end()) break;
    node = it->second;
    if (token_at_node_[node] != kNone) longest = Match{i + 1, token_at_node_[node]};
  }
  return longest;
}

void AddedTokenMatcher::Cut(std::string_view text, std::vector<AddedTokenPiece>* pieces) const {
  pieces->clear();
  size_t covered = 0;
  size_t from = 0;  // where the next match may begin
  while (from < text.size() && !tokens_.empty()) {
    std::optional<Match> match;
    if (first_bytes_[static_cast<uint8_t>(text[from])]) match = LongestAt(text, from);
    if (!match.has_value()) {
      ++from;
      continue;
    }
    size_t begin = from;
    size_t end = match->end;
    const AddedToken& token = tokens_[match->token];
    from = end;
    if (token.single_word && !IsSingleWord(text, begin, end)) continue;
    if (token.lstrip) begin = SkipSpaceBackward(text, begin, std::min(covered, begin));
    if (token.rstrip) end = SkipSpaceForward(text, end);
    if (covered < begin) pieces->push_back({covered, begin, std::nullopt});
    pieces->push_back({begin, end, token.id});
    covered = end;
  }
  if (covered < text.size()) pieces->push_back({covered, text.size(), std::nullopt});
}

absl::StatusOr<AddedTokens> AddedTokens::Load(std::vector<JsonObject> items,
                                              const Normalizer* normalizer,
                                              Vocabulary* vocabulary) {
  AddedTokens result;
  std::vector<std::pair<AddedToken, std::string>> tokens;  // with the pattern to look for
  absl::flat_hash_map<std::string, std::string> seen;      // content -> path
  for (JsonObject& item : items) {
    WINNOW_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(&item));
    const auto [it, inserted] = seen.emplace(token.content, item.path());
    if (!inserted) return item.Error("content", "the same as that of ", it->second);
    absl::Status status = vocabulary->AddExtraToken(token.content, token.id, token.special);
    if (!status.ok()) return item.Error("id", status.message());
    std::string pattern = token.content;
    if (token.normalized) {
      WINNOW_ASSIGN_OR_RETURN(pattern, NormalizedPattern(token, normalizer, item));
      vocabulary->SetNormalized(token.id, pattern);
    }
    tokens.emplace_back(std::move(token), std::move(pattern));
  }
  // Special tokens come first where two look the same.
  std::stable_partition(tokens.begin(), tokens.end(),
                        [](const auto& entry) { return entry.first.special; });
  for (const auto& [token, pattern] : tokens) {
    (token.normalized ? result.normalized_ : result.raw_).Add(pattern, token);
  }
  return result;
}

}  // namespace winnow
