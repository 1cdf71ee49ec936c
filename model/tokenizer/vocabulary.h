// The tokens of a tokenizer: text <-> id, for the model's own vocabulary and for the tokens added
// to it. Filled while loading; then immutable and safe from any thread.
#ifndef WINNOW_MODEL_TOKENIZER_VOCABULARY_H_
#define WINNOW_MODEL_TOKENIZER_VOCABULARY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace winnow {

class Vocabulary {
 public:
  // Ids lie below this.
  static constexpr uint32_t kMaxSize = 1u << 24;

  // Adds a token of the model. InvalidArgument when the text or the id is taken, or the id too
  // large.
  absl::Status AddModelToken(std::string_view text, uint32_t id);
  // Adds a token that stands beside the model, or marks the model's token of the same text and id.
  absl::Status AddExtraToken(std::string_view text, uint32_t id, bool special);
  // REQUIRES: Contains(id), normalized is not empty.
  void SetNormalized(uint32_t id, std::string normalized) {
    entries_[entry_of_id_[id]].normalized = std::move(normalized);
  }

  // 1 + the highest id. Ids below it may be unused.
  uint32_t size() const { return static_cast<uint32_t>(entry_of_id_.size()); }

  std::optional<uint32_t> Find(std::string_view text) const;
  // Only among the model's own tokens.
  std::optional<uint32_t> FindModelToken(std::string_view text) const;

  bool Contains(uint32_t id) const { return id < size() && entry_of_id_[id] != kUnused; }
  // REQUIRES: Contains(id).
  std::string_view Text(uint32_t id) const { return entries_[entry_of_id_[id]].text; }
  // What decoders get for the token: its text, or for a token that is looked for in normalized text
  // its normalized form. REQUIRES: Contains(id).
  std::string_view DecoderText(uint32_t id) const {
    const Entry& entry = entries_[entry_of_id_[id]];
    return entry.normalized.empty() ? entry.text : entry.normalized;
  }
  // Special tokens carry meaning, not text. False for an id that is not there.
  bool IsSpecial(uint32_t id) const { return Contains(id) && entries_[entry_of_id_[id]].special; }

 private:
  static constexpr uint32_t kUnused = UINT32_MAX;
  struct Entry {
    std::string text;
    uint32_t id;
    bool in_model;
    bool special;
    std::string normalized;  // empty: as text
  };

  absl::Status Add(Entry entry);

  std::deque<Entry> entries_;          // stay where they are
  std::vector<uint32_t> entry_of_id_;  // index into entries_, or kUnused
  absl::flat_hash_map<std::string_view, uint32_t, std::hash<std::string_view>> entry_of_text_;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_VOCABULARY_H_
