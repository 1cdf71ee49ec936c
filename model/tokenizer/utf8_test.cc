#include "model/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace winnow {
namespace {

using namespace std::string_literals;

TEST(Utf8Test, EveryCharacterThereAndBack) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code == 0xD800) code = 0xE000;
    std::string text;
    AppendUtf8(code, &text);
    ASSERT_EQ(FindInvalidUtf8(text), std::nullopt) << static_cast<uint32_t>(code);
    ASSERT_TRUE(DecodeUtf8(text, 0).code == code) << static_cast<uint32_t>(code);
    ASSERT_EQ(DecodeUtf8(text, 0).num_bytes, text.size());
    for (size_t n = 1; n < text.size(); ++n) {
      const Utf8Step step = StepUtf8(std::string_view(text).substr(0, n));
      ASSERT_EQ(step.kind, Utf8Kind::kIncomplete) << static_cast<uint32_t>(code);
      ASSERT_EQ(step.num_bytes, n);
    }
  }
}

TEST(Utf8Test, FindsTheFirstInvalidByte) {
  EXPECT_EQ(FindInvalidUtf8(""), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("a\0b"s), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("ab\x80"), 2u);            // a continuation alone
  EXPECT_EQ(FindInvalidUtf8("ab\xC3"), 2u);            // cut short
  EXPECT_EQ(FindInvalidUtf8("é\xC0\xAF"), 2u);         // overlong
  EXPECT_EQ(FindInvalidUtf8("\xE0\x9F\xBF"), 0u);      // overlong
  EXPECT_EQ(FindInvalidUtf8("a\xED\xA0\x80"), 1u);     // surrogate
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(FindInvalidUtf8("\xF5\x80\x80\x80"), 0u);
  EXPECT_EQ(FindInvalidUtf8("\xFF"), 0u);
}

TEST(Utf8Test, MaximalSubparts) {
  const auto invalid = [](std::string_view bytes) {
    const Utf8Step step = StepUtf8(bytes);
    return step.kind == Utf8Kind::kInvalid ? step.num_bytes : 0;
  };
  EXPECT_EQ(invalid("\xF0\x9F\x98x"), 3u);
  EXPECT_EQ(invalid("\xF0\x9Fx"), 2u);
  EXPECT_EQ(invalid("\xF0x"), 1u);
  EXPECT_EQ(invalid("\xE4\xBD\xE4"), 2u);
  EXPECT_EQ(invalid("\xED\xA0\x80"), 1u);
  EXPECT_EQ(invalid("\x80\x80"), 1u);
  EXPECT_EQ(invalid("\xC0\x80"), 1u);
}

TEST(Utf8Test, RandomBytesAreSteppedThroughWhole) {
  std::mt19937_64 rng(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(1 + rng() % 12, '\0');
    for (char& byte : bytes) byte = static_cast<char>(rng() % 3 == 0 ? rng() : 0x80 + rng() % 128);
    std::string_view rest = bytes;
    bool valid = true;
    while (!rest.empty()) {
      const Utf8Step step = StepUtf8(rest);
      ASSERT_GE(step.num_bytes, 1u);
      ASSERT_LE(step.num_bytes, rest.size());
      if (step.kind == Utf8Kind::kIncomplete) {
        ASSERT_EQ(step.num_bytes, rest.size());
      }
      valid = valid && step.kind == Utf8Kind::kWhole;
      rest.remove_prefix(step.num_bytes);
    }
    ASSERT_EQ(valid, !FindInvalidUtf8(bytes).has_value());
  }
}

TEST(Utf8Test, Counts) {
  EXPECT_EQ(CountUtf8(""), 0u);
  EXPECT_EQ(CountUtf8("aé世😀"), 4u);
}

}  // namespace
}  // namespace winnow
