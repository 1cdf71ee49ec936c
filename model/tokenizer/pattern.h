// A "pattern" field of tokenizer.json: {"String": "..."} or {"Regex": "..."}.
#ifndef WINNOW_MODEL_TOKENIZER_PATTERN_H_
#define WINNOW_MODEL_TOKENIZER_PATTERN_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer/json_object.h"
#include "model/tokenizer/regex.h"

namespace winnow {

struct Pattern {
  bool is_literal;
  std::string source;
  Regex regex;  // matches the source, either way
};

// InvalidArgument for anything but the two forms, an empty string, or an expression that is not
// supported.
absl::StatusOr<Pattern> ReadPattern(JsonObject* object, std::string_view key);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_PATTERN_H_
