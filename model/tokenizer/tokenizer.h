// A Hugging Face tokenizer.json: text to token ids and back, for byte-level BPE (the Qwen and GPT-2
// kind) and for BPE with byte fallback (the Llama kind). Ids equal those of the reference
// implementation (Python package `tokenizers`).
//
//   auto tokenizer = Tokenizer::Load("model/tokenizer.json");  // a StatusOr, as all of these
//   auto ids = (*tokenizer)->Encode("Hello", /*add_special_tokens=*/true);
//   auto text = (*tokenizer)->Decode(*ids, /*include_special=*/false);
//
// A text goes through: added tokens | normalizer | added tokens | pre-tokenizer | BPE, word by word
// | post-processor. Each stage has its own header. A file that holds anything these do not
// understand is refused: nothing in it is skipped over. Truncation and padding are refused too,
// since a server changes no prompt.
//
// Where the reference gives added tokens other ids than the file says (it does when the file leaves
// gaps), the file's hold. Unicode: expressions know the characters of Unicode 14 (PCRE2),
// everything else those of 15 (ICU).
//
// Immutable, safe from any thread. Encode takes time linear in the text, up to a logarithm within
// one word.
#ifndef WINNOW_MODEL_TOKENIZER_TOKENIZER_H_
#define WINNOW_MODEL_TOKENIZER_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/bpe_model.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/json_object.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/post_processor.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/vocabulary.h"

namespace winnow {

class Tokenizer {
 public:
  // Limits of what is read; past them InvalidArgument.
  static constexpr size_t kMaxFileBytes = size_t{512} << 20;
  static constexpr size_t kMaxTextBytes = size_t{1} << 30;

  // NotFound when there is no such file; InvalidArgument naming the file and the field and value at
  // fault.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const std::string& path);
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromJson(std::string_view json);

  // The ids of a text. Special tokens written out in the text become those tokens.
  // `add_special_tokens` adds what the post-processor puts around it (<|bos|>). InvalidArgument for
  // text that is not UTF-8 (with the byte's offset) or too long; ResourceExhausted when the file's
  // regular expression takes too many steps on it (see regex.h).
  absl::StatusOr<std::vector<uint32_t>> Encode(std::string_view text,
                                               bool add_special_tokens) const;

  // The text of a whole sequence. Without `include_special`, special tokens leave no trace. Bytes
  // that are no UTF-8 become U+FFFD. InvalidArgument for an id that is no token's. Pieces of a
  // sequence: see detokenizer.h.
  absl::StatusOr<std::string> Decode(absl::Span<const uint32_t> ids, bool include_special) const;

  // 1 + the highest id; a few ids below it may be no token's. A model's logits may well be more.
  uint32_t vocab_size() const { return vocabulary_.size(); }
  // The token as the file writes it; nothing for an id that is no token's. Valid as long as the
  // tokenizer.
  std::optional<std::string_view> IdToToken(uint32_t id) const;
  std::optional<uint32_t> TokenToId(std::string_view token) const {
    return vocabulary_.Find(token);
  }
  bool IsSpecial(uint32_t id) const { return vocabulary_.IsSpecial(id); }

  // InvalidArgument naming the first of `ids` that is no token's.
  absl::Status CheckIds(absl::Span<const uint32_t> ids) const;

  // For detokenizer.h: the steps that turn tokens into text, at the beginning of a sequence, and
  // what they get for a token. DecoderText REQUIRES that the id is a token's.
  const Decoder& decoder() const { return *decoder_; }
  std::string_view DecoderText(uint32_t id) const { return vocabulary_.DecoderText(id); }

 private:
  Tokenizer() = default;
  absl::Status Init(JsonObject file);
  absl::Status EncodeStretch(std::string_view stretch, bool at_start, BpeScratch* scratch,
                             std::vector<uint32_t>* ids) const;
  absl::Status EncodeNormalized(std::string_view text, bool at_start, BpeScratch* scratch,
                                std::vector<uint32_t>* ids) const;

  Vocabulary vocabulary_;
  std::unique_ptr<const BpeModel> model_;
  std::unique_ptr<const Normalizer> normalizer_;       // may be null
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;  // may be null
  std::optional<AddedTokens> added_tokens_;
  std::optional<Decoder> decoder_;
  SpecialTokenFrame frame_;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_TOKENIZER_H_
