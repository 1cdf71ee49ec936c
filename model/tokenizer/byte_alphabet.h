// The alphabet of byte-level tokenizers: a printable character for each byte, so that any bytes can
// be written as text. Printable Latin-1 bytes stand for themselves; the 68 others (controls, space,
// U+00AD) are U+0100 to U+0143 in order. Pure functions, safe from any thread.
#ifndef WINNOW_MODEL_TOKENIZER_BYTE_ALPHABET_H_
#define WINNOW_MODEL_TOKENIZER_BYTE_ALPHABET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace winnow {

char32_t ByteToChar(uint8_t byte);
std::optional<uint8_t> CharToByte(char32_t c);

// Appends the character of each byte, as UTF-8.
void AppendByteChars(std::string_view bytes, std::string* out);

// The bytes that a token stands for, or the token itself when it holds a character outside the
// alphabet. REQUIRES: token is valid UTF-8.
std::string ByteCharsToBytes(std::string_view token);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_BYTE_ALPHABET_H_
