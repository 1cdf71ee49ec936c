// Encode with any bytes, and what must hold of its ids. Input: which tokenizer, then the text.
#include <algorithm>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "model/tokenizer/detokenizer.h"
#include "model/tokenizer/utf8.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/target.h"
#include "tests/fuzz/tokenizers.h"

namespace winnow {
namespace {

using Ids = std::vector<uint32_t>;

void CheckRefusal(const absl::Status& status, size_t invalid_byte) {
  WINNOW_CHECK(absl::IsInvalidArgument(status)) << status;
  WINNOW_CHECK(std::string(status.message()).ends_with("byte " + std::to_string(invalid_byte)))
      << status;
}

// Byte-level tokenizers without a normalizer keep every byte of a text without special tokens; that
// of "gpt2" adds the space before the first word that there is none of.
bool MayDecodeTo(const std::string& name, const std::string& text, const std::string& decoded) {
  if (name == "demo") return decoded == text;
  if (name == "gpt2") return decoded == text || (decoded == " " + text && !text.starts_with(' '));
  return true;
}

bool HasSpecial(const Tokenizer& tokenizer, const Ids& ids) {
  return std::any_of(ids.begin(), ids.end(), [&](uint32_t id) { return tokenizer.IsSpecial(id); });
}

void Run(Bytes input) {
  const auto& [name, tokenizer] = RecordedTokenizer(input.Byte());
  const std::string text = input.Rest();
  const auto plain = tokenizer->Encode(text, /*add_special_tokens=*/false);
  const auto framed = tokenizer->Encode(text, /*add_special_tokens=*/true);
  if (const auto invalid = FindInvalidUtf8(text); invalid.has_value()) {
    CheckRefusal(plain.status(), *invalid);
    CheckRefusal(framed.status(), *invalid);
    return;
  }
  WINNOW_CHECK(plain.ok() && framed.ok()) << plain.status();
  WINNOW_CHECK(tokenizer->CheckIds(*framed).ok());
  WINNOW_CHECK(std::search(framed->begin(), framed->end(), plain->begin(), plain->end()) !=
                   framed->end() ||
               plain->empty());
  const auto decoded = tokenizer->Decode(*plain, /*include_special=*/true);
  WINNOW_CHECK(decoded.ok() && !FindInvalidUtf8(*decoded).has_value()) << decoded.status();
  WINNOW_CHECK(HasSpecial(*tokenizer, *plain) || MayDecodeTo(name, text, *decoded)) << name;
}

}  // namespace
}  // namespace winnow

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  winnow::Run(winnow::Bytes(data, size));
  return 0;
}
