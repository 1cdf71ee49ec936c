// Concat("token ", 7, " of ", name): strings and integers joined into one std::string.
//
// absl::StrCat takes absl::string_view, which in Debian's build of Abseil is a type of its own that
// std::string_view does not convert to; this takes both. Safe from any thread.
#ifndef WINNOW_MODEL_TOKENIZER_CONCAT_H_
#define WINNOW_MODEL_TOKENIZER_CONCAT_H_

#include <concepts>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace winnow {

inline void AppendTo(std::string* out, std::string_view text) { out->append(text); }
inline void AppendTo(std::string* out, absl::string_view text) {
  out->append(text.data(), text.size());
}
inline void AppendTo(std::string* out, const std::string& text) { out->append(text); }
inline void AppendTo(std::string* out, const char* text) { out->append(text); }
template <std::integral Number>
void AppendTo(std::string* out, Number number) {
  out->append(std::to_string(number));
}

template <typename... Parts>
std::string Concat(const Parts&... parts) {
  std::string out;
  (AppendTo(&out, parts), ...);
  return out;
}

}  // namespace winnow

#endif  // WINNOW_MODEL_TOKENIZER_CONCAT_H_
