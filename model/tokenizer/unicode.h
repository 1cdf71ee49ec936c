// Character classes and normal forms, as the tokenizer.json format means them. Backed by ICU
// (Unicode 15). Pure functions, safe from any thread.
#ifndef WINNOW_MODEL_TOKENIZER_UNICODE_H_
#define WINNOW_MODEL_TOKENIZER_UNICODE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace winnow {

// Unicode property White_Space.
bool IsWhitespace(char32_t c);
// A letter, mark, decimal digit, connector or join control: the `\w` that "single_word" and
// "Whitespace" go by.
bool IsWordCharacter(char32_t c);
// Categories Nd, Nl and No.
bool IsNumeric(char32_t c);
// ASCII punctuation (with the symbols, e.g. '$'), elsewhere the categories P*.
bool IsPunctuation(char32_t c);

// Appends the lower case of one character, regardless of its neighbours.
void AppendLowercase(char32_t c, std::string* out);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// REQUIRES: text is valid UTF-8 of less than 2 GiB.
absl::StatusOr<std::string> Normalize(NormalForm form, std::string_view text);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_UNICODE_H_
