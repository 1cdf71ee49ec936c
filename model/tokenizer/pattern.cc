#include "model/tokenizer/pattern.h"

#include <optional>
#include <utility>

#include "model/tokenizer/status_macros.h"

namespace winnow {

absl::StatusOr<Pattern> ReadPattern(JsonObject* object, std::string_view key) {
  WINNOW_ASSIGN_OR_RETURN(JsonObject pattern, object->Object(key));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<std::string> literal,
                          pattern.OptionalString("String"));
  WINNOW_ASSIGN_OR_RETURN(const std::optional<std::string> regex, pattern.OptionalString("Regex"));
  WINNOW_RETURN_IF_ERROR(pattern.Close());
  if (literal.has_value() == regex.has_value()) {
    return object->Error(key, "expected either a String or a Regex");
  }
  const std::string& source = literal.has_value() ? *literal : *regex;
  if (source.empty()) return object->Error(key, "an empty pattern");
  absl::StatusOr<Regex> compiled =
      literal.has_value() ? Regex::CompileLiteral(source) : Regex::Compile(source);
  if (!compiled.ok()) return object->Error(key, compiled.status().message());
  return Pattern{literal.has_value(), source, *std::move(compiled)};
}

}  // namespace winnow
