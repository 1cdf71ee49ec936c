// UTF-8: validation, decoding one character at a time, and stepping through bytes that may be
// broken. Pure functions over the caller's memory; safe from any thread.
//
// Valid means what Unicode says: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef WINNOW_MODEL_TOKENIZER_UTF8_H_
#define WINNOW_MODEL_TOKENIZER_UTF8_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace winnow {

// U+FFFD, which stands for bytes that are no character.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// What the bytes at the front of a string are.
enum class Utf8Kind {
  kWhole,       // `num_bytes` bytes are one character
  kIncomplete,  // all bytes given are the beginning of a character that goes on after them
  kInvalid,  // the first `num_bytes` bytes (1 to 3) cannot become a character: Unicode's "maximal
             // subpart"
};
struct Utf8Step {
  Utf8Kind kind;
  size_t num_bytes;
};

// Classifies the front of `bytes`. REQUIRES: bytes is not empty.
Utf8Step StepUtf8(std::string_view bytes);

// The offset of the first byte that is not part of a whole character, or nothing for valid text.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

struct Utf8Char {
  char32_t code;
  size_t num_bytes;
};

// The character that starts at `offset`. REQUIRES: text is valid UTF-8, offset < text.size() starts
// a character.
Utf8Char DecodeUtf8(std::string_view text, size_t offset);

// Appends one character. REQUIRES: code is a Unicode scalar value.
void AppendUtf8(char32_t code, std::string* out);

// Number of characters. REQUIRES: text is valid UTF-8.
size_t CountUtf8(std::string_view text);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_UTF8_H_
