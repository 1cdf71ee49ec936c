// Normalizers: what tokenizer.json does to a text before it is cut into words.
//
// Supported: NFC, NFD, NFKC, NFKD, Prepend, Replace (string or regular expression), Strip,
// Lowercase, Sequence. Immutable after loading, safe from any thread.
#ifndef WINNOW_MODEL_TOKENIZER_NORMALIZER_H_
#define WINNOW_MODEL_TOKENIZER_NORMALIZER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"

namespace winnow {

// A stretch of the input on its way.
struct NormalizedText {
  std::string text;
  // Whether the first character still comes from the very first of the whole input: a Metaspace
  // with the prepend scheme "first" asks.
  bool at_start = false;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // REQUIRES: text->text is valid UTF-8; it stays so. ResourceExhausted when a regular expression
  // gives up.
  virtual absl::Status Apply(NormalizedText* text) const = 0;
};

// Reads a normalizer. InvalidArgument names the field that is wrong or not supported.
absl::StatusOr<std::unique_ptr<const Normalizer>> LoadNormalizer(JsonObject object);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_NORMALIZER_H_
