#include "model/tokenizer/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include "absl/status/status.h"
#include "model/tokenizer/concat.h"
#include "model/tokenizer/utf8.h"

namespace winnow {
namespace {

bool HasCategory(char32_t c, uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0;
}

const icu::Normalizer2* GetNormalizer(NormalForm form, UErrorCode* error) {
  switch (form) {
    case NormalForm::kNfc:
      return icu::Normalizer2::getNFCInstance(*error);
    case NormalForm::kNfd:
      return icu::Normalizer2::getNFDInstance(*error);
    case NormalForm::kNfkc:
      return icu::Normalizer2::getNFKCInstance(*error);
    case NormalForm::kNfkd:
      return icu::Normalizer2::getNFKDInstance(*error);
  }
  return nullptr;
}

}  // namespace

bool IsWhitespace(char32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_WHITE_SPACE);
}

bool IsWordCharacter(char32_t c) {
  const UChar32 code = static_cast<UChar32>(c);
  return u_hasBinaryProperty(code, UCHAR_ALPHABETIC) ||
         HasCategory(c, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL);
}

bool IsNumeric(char32_t c) { return HasCategory(c, U_GC_ND_MASK | U_GC_NL_MASK | U_GC_NO_MASK); }

bool IsPunctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  return HasCategory(c, U_GC_P_MASK);
}

void AppendLowercase(char32_t c, std::string* out) {
  if (c == 0x130) {  // the only character whose lower case is two: i and a dot above
    out->append("i\xCC\x87");
  } else {
    AppendUtf8(static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))), out);
  }
}

absl::StatusOr<std::string> Normalize(NormalForm form, std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = GetNormalizer(form, &error);
  std::string result;
  if (U_SUCCESS(error)) {
    result.reserve(text.size());
    icu::StringByteSink<std::string> sink(&result);
    const icu::StringPiece source(text.data(), static_cast<int32_t>(text.size()));
    normalizer->normalizeUTF8(0, source, sink, nullptr, error);
  }
  if (U_FAILURE(error)) {
    return absl::InternalError(Concat("Unicode normalization failed: ", u_errorName(error)));
  }
  return result;
}

}  // namespace winnow
