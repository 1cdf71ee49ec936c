// Strict JSON: what two readers could understand differently is refused.
#ifndef WINNOW_MODEL_JSON_H_
#define WINNOW_MODEL_JSON_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace winnow {

// Nesting that ParseStrictJson accepts. Real files nest six deep.
inline constexpr int kMaxJsonDepth = 32;

// Parses a document. INVALID_ARGUMENT for what is not JSON or not UTF-8 (NaN, Infinity and numbers
// beyond a double too), for NUL bytes, for a key twice in one object, and for nesting deeper than
// kMaxJsonDepth.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text);

// A value as it may stand in a message: JSON in ASCII, shortened.
std::string JsonExcerpt(const nlohmann::json& value);

// What the parser says about a text, which quotes what it stumbled over: shortened, plain ASCII
// whatever that was.
std::string ReadableMessage(const nlohmann::json::exception& e);

}  // namespace winnow

#endif  // WINNOW_MODEL_JSON_H_
