#include "model/tokenizer/byte_alphabet.h"

#include <array>

#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

constexpr char32_t kFirstShifted = 0x100;
constexpr int kNumShifted = 68;

constexpr std::array<uint8_t, kNumShifted> MakeShifted() {
  std::array<uint8_t, kNumShifted> shifted{};
  int n = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (!StandsForItself(byte)) shifted[n++] = static_cast<uint8_t>(byte);
  }
  return shifted;
}

constexpr std::array<uint8_t, kNumShifted> kShiftedBytes = MakeShifted();

constexpr std::array<uint16_t, 256> MakeByteToChar() {
  std::array<uint16_t, 256> chars{};
  for (int byte = 0; byte < 256; ++byte) chars[byte] = static_cast<uint16_t>(byte);
  for (int i = 0; i < kNumShifted; ++i) chars[kShiftedBytes[i]] = kFirstShifted + i;
  return chars;
}

constexpr std::array<uint16_t, 256> kByteToChar = MakeByteToChar();

}  // namespace

char32_t ByteToChar(uint8_t byte) { return kByteToChar[byte]; }

std::optional<uint8_t> CharToByte(char32_t c) {
  if (c < 0x100) {
    if (StandsForItself(static_cast<int>(c))) return static_cast<uint8_t>(c);
  } else if (c < kFirstShifted + kNumShifted) {
    return kShiftedBytes[c - kFirstShifted];
  }
  return std::nullopt;
}

void AppendByteChars(std::string_view bytes, std::string* out) {
  for (const char byte : bytes) AppendUtf8(ByteToChar(static_cast<uint8_t>(byte)), out);
}

std::string ByteCharsToBytes(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    const Utf8Char c = DecodeUtf8(token, i);
    const std::optional<uint8_t> byte = CharToByte(c.code);
    if (!byte.has_value()) return std::string(token);
    bytes.push_back(static_cast<char>(*byte));
    i += c.num_bytes;
  }
  return bytes;
}

}  // namespace winnow
