// Text from the tokens of a stream, as they come.
//
//   using Start = IncrementalDetokenizer::Start;
//   IncrementalDetokenizer detokenizer(tokenizer.get(), Start::kMidText, include_special);
//   client << detokenizer.Append(ids_of_this_step).value();  // again and again
//   client << detokenizer.Flush();                           // at the end
//
// What Append returns is always whole UTF-8: bytes of a character that is not finished wait for the
// next tokens, and Flush gives what still waits (incomplete characters as U+FFFD). All pieces
// together equal Tokenizer::Decode of all ids. Costs time in proportion to the new tokens' text,
// and memory that does not grow with the stream.
//
// A value: a copy goes on from the same place (for the choices of a forked sequence). One stream,
// one thread at a time. The tokenizer must outlive it.
#ifndef WINNOW_MODEL_TOKENIZER_DETOKENIZER_H_
#define WINNOW_MODEL_TOKENIZER_DETOKENIZER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/tokenizer.h"

namespace winnow {

class IncrementalDetokenizer {
 public:
  // Llama's tokens write the space before a word, so a text's first token loses it. A continuation
  // keeps it: " world" after the prompt "Hello".
  enum class Start {
    kText,     // the first token begins a text, as in Tokenizer::Decode
    kMidText,  // other tokens, not shown to this object, came before
  };

  IncrementalDetokenizer(const Tokenizer* tokenizer, Start start, bool include_special)
      : tokenizer_(tokenizer), include_special_(include_special), decoder_(tokenizer->decoder()) {
    if (start == Start::kMidText) decoder_.StartMidText();
  }

  // The text that these tokens complete; often empty. InvalidArgument for an id that is no token's:
  // then none of `ids` was taken, and the stream may go on. REQUIRES: Flush was not called.
  absl::StatusOr<std::string> Append(absl::Span<const uint32_t> ids) {
    if (absl::Status status = tokenizer_->CheckIds(ids); !status.ok()) return status;
    std::string text;
    for (const uint32_t id : ids) {
      if (include_special_ || !tokenizer_->IsSpecial(id)) {
        decoder_.Push(tokenizer_->DecoderText(id), &text);
      }
    }
    return text;
  }
  absl::StatusOr<std::string> Append(uint32_t id) { return Append(absl::MakeConstSpan(&id, 1)); }

  // The rest of the text. The stream is over.
  std::string Flush() {
    std::string text;
    decoder_.Finish(&text);
    return text;
  }

 private:
  const Tokenizer* tokenizer_;
  bool include_special_;
  Decoder decoder_;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_DETOKENIZER_H_
