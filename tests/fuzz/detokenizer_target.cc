// Any ids in any pieces: the text of the pieces is whole UTF-8, and together that of the whole.
// Input: options, then per piece how many ids, and the ids in two bytes each.
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

Ids TakeIds(Bytes* input, const Tokenizer& tokenizer) {
  const uint8_t length = input->Byte();
  Ids ids(length % 8);
  for (uint32_t& id : ids) {
    id = input->Byte() << 8;
    id |= input->Byte();
    if (length < 240) id %= tokenizer.vocab_size();  // the others are no token's, mostly
  }
  return ids;
}

void Run(Bytes input) {
  const uint8_t options = input.Byte();
  const Tokenizer& tokenizer = *RecordedTokenizer(options >> 2).tokenizer;
  const bool include_special = options & 1;
  const auto start =
      options & 2 ? IncrementalDetokenizer::Start::kMidText : IncrementalDetokenizer::Start::kText;
  IncrementalDetokenizer detokenizer(&tokenizer, start, include_special);
  IncrementalDetokenizer whole = detokenizer;
  std::string text;
  Ids taken;
  while (!input.empty()) {
    const Ids ids = TakeIds(&input, tokenizer);
    const auto piece = detokenizer.Append(ids);
    WINNOW_CHECK(piece.ok() == tokenizer.CheckIds(ids).ok());
    if (!piece.ok()) continue;
    WINNOW_CHECK(!FindInvalidUtf8(*piece).has_value());
    text += *piece;
    taken.insert(taken.end(), ids.begin(), ids.end());
    detokenizer = IncrementalDetokenizer(detokenizer);  // a copy goes on from the same place
  }
  text += detokenizer.Flush();
  WINNOW_CHECK(!FindInvalidUtf8(text).has_value());
  std::string at_once = whole.Append(taken).value();
  at_once += whole.Flush();
  WINNOW_CHECK(text == at_once);
  if (options & 2) return;
  WINNOW_CHECK(text == tokenizer.Decode(taken, include_special).value());
}

}  // namespace
}  // namespace winnow

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  winnow::Run(winnow::Bytes(data, size));
  return 0;
}
