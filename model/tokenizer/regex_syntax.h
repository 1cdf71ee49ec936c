// Translates a regular expression of tokenizer.json to PCRE2.
//
// The format's expressions are Oniguruma's (Ruby syntax). Most of what tokenizers write means the
// same to PCRE2; what does not is rewritten, and what this file does not know is refused, so that
// no expression silently splits text in another way:
//   \s \S            Unicode's White_Space (PCRE2 would add U+180E)
//   \w \W \d \D      Oniguruma's sets
//   \p{Han}          the script (PCRE2 would take the script extensions)
//   \v               U+000B (PCRE2: any vertical space);  \uHHHH: a code point
//   X{2,3}+          repeats the interval (PCRE2 would make it possessive);  X{,3} is X{0,3}
//   ( )              groups without capture, for nothing may refer back
// Refused: back references, named groups, \b, \h, \K, nested classes and && in a class, options
// other than i, (?i) other than at the very start, and every escape not listed in the .cc file.
//
// The result is meant for PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE (Ruby's ^ and $ are those of
// lines) with newline LF.
#ifndef WINNOW_MODEL_TOKENIZER_REGEX_SYNTAX_H_
#define WINNOW_MODEL_TOKENIZER_REGEX_SYNTAX_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace winnow {

// InvalidArgument says what is not supported and at which byte. REQUIRES: pattern is valid UTF-8.
absl::StatusOr<std::string> TranslateRegex(std::string_view pattern);

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_REGEX_SYNTAX_H_
