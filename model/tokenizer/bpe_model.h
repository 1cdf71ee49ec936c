// Byte pair encoding (Sennrich et al., arXiv 1508.07909): the characters of a word, merged pair by
// pair, the pair that stands first in the list of merges first and the leftmost of equal ones
// first.
//
// A word of n characters takes O(n log n) time, however long it is: the pairs that can be merged
// wait in a heap, the symbols form a linked list, and a heap entry whose pair has changed meanwhile
// is dropped. A word is worked on in parts where it can be: between two characters that no merge
// joins (one whose left token ends with the first and whose right token begins with the second), no
// token can ever lie across. So a whole text without a pre-tokenizer, as the Llama kind has it,
// falls apart into words all the same.
//
// Immutable after loading, safe from any thread; each thread brings its own BpeScratch.
#ifndef WINNOW_MODEL_TOKENIZER_BPE_MODEL_H_
#define WINNOW_MODEL_TOKENIZER_BPE_MODEL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"
#include "model/tokenizer/vocabulary.h"

namespace winnow {

// Memory that EncodeWord reuses from word to word.
struct BpeScratch {
  struct Symbol {
    uint32_t id;
    uint32_t previous;
    uint32_t next;
  };
  // A pair that may be merged: the symbols at `position` and after it, while they still are `left`
  // and `right`.
  struct Candidate {
    uint32_t rank;
    uint32_t position;
    uint32_t left;
    uint32_t right;
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

class BpeModel {
 public:
  // Reads the "model" object and fills `vocabulary`, which is empty and outlives the model.
  // Refused: another type than BPE, dropout, continuing_subword_prefix, end_of_word_suffix, merges
  // of unknown tokens.
  static absl::StatusOr<std::unique_ptr<const BpeModel>> Load(JsonObject object,
                                                              Vocabulary* vocabulary);

  // Appends the ids of one word. A character that the vocabulary lacks becomes its bytes' tokens
  // (byte_fallback), else the unknown token, else nothing. REQUIRES: word is valid UTF-8 of less
  // than 2^32 - 1 characters.
  void EncodeWord(std::string_view word, BpeScratch* scratch, std::vector<uint32_t>* ids) const;

 private:
  struct Merge {
    uint32_t rank;
    uint32_t id;
  };
  static constexpr uint32_t kNoId = UINT32_MAX;

  explicit BpeModel(const Vocabulary* vocabulary) : vocabulary_(*vocabulary) {}

  absl::Status LoadOptions(JsonObject* object);
  absl::Status LoadMerges(const nlohmann::json& merges, const std::string& path);
  absl::Status AddMerge(std::string_view left, std::string_view right);
  void IndexCharacters();

  uint32_t CharId(char32_t c) const;
  bool CanMergeAcross(char32_t left, char32_t right) const;
  bool AppendByteSymbols(std::string_view bytes, std::vector<BpeScratch::Symbol>* symbols) const;
  // Appends the pair at `position` to the heap's vector if it can be merged.
  bool AppendCandidate(uint32_t position, BpeScratch* scratch) const;
  void MergeSymbols(BpeScratch* scratch) const;
  // Merges the symbols, appends what is left, and clears them.
  void EncodeSymbols(BpeScratch* scratch, std::vector<uint32_t>* ids) const;

  const Vocabulary& vocabulary_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // (left id << 32 | right id)
  absl::flat_hash_set<uint64_t> joined_chars_;   // (left's last character << 32 | right's first)
  std::array<uint32_t, 0x800> low_char_ids_;     // kNoId: not in the vocabulary
  absl::flat_hash_map<char32_t, uint32_t> high_char_ids_;
  std::array<uint32_t, 256> byte_ids_;  // of "<0x00>" to "<0xFF>"
  uint32_t num_merges_ = 0;
  uint32_t unknown_id_ = kNoId;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;  // a word that is a token is that token
};

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_BPE_MODEL_H_
