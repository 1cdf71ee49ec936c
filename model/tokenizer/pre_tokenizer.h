// Pre-tokenizers: how tokenizer.json cuts a text into the words that BPE then works on, one by one.
//
// Supported: Split (string or regular expression, all behaviours, invert), ByteLevel, Metaspace,
// Digits, Punctuation, Whitespace, WhitespaceSplit, Sequence. Immutable after loading, safe from
// any thread.
#ifndef WINNOW_MODEL_TOKENIZER_PRE_TOKENIZER_H_
#define WINNOW_MODEL_TOKENIZER_PRE_TOKENIZER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"

namespace winnow {

// A word: bytes [begin, end) of the text, never empty.
struct WordSpan {
  size_t begin;
  size_t end;
  bool at_start;  // its first character is the very first of the whole input
};

// A text and the words it is cut into, in order. A step may rewrite the text (and then its words),
// cut words further and drop some.
struct WordList {
  std::string text;
  std::vector<WordSpan> words;

  std::string_view Word(const WordSpan& span) const {
    return std::string_view(text).substr(span.begin, span.end - span.begin);
  }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // REQUIRES: every word is valid UTF-8; they stay so. ResourceExhausted when a regular expression
  // gives up.
  virtual absl::Status Apply(WordList* list) const = 0;
};

// Reads a pre-tokenizer. InvalidArgument names the field that is wrong or not supported.
absl::StatusOr<std::unique_ptr<const PreTokenizer>> LoadPreTokenizer(JsonObject object);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_PRE_TOKENIZER_H_
