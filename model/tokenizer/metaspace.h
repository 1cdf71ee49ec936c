// The options that the Metaspace pre-tokenizer and the Metaspace decoder share: a visible character
// stands for a space.
#ifndef WINNOW_MODEL_TOKENIZER_METASPACE_H_
#define WINNOW_MODEL_TOKENIZER_METASPACE_H_

#include <string>

#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"

namespace winnow {

struct MetaspaceOptions {
  // Where a text that does not begin with the replacement gets one.
  enum class Prepend { kAlways, kFirst, kNever };

  std::string replacement;  // one character, usually U+2581
  Prepend prepend = Prepend::kAlways;
  bool split = true;
};

// Reads {"replacement", "prepend_scheme" or the older "add_prefix_space", "split"}, and closes the
// object.
absl::StatusOr<MetaspaceOptions> ReadMetaspace(JsonObject* object);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_METASPACE_H_
