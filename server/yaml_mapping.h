// YAML files that are one mapping from names to values or lists of values. JSON is such YAML. Pure
// functions.
#ifndef WINNOW_SERVER_YAML_MAPPING_H_
#define WINNOW_SERVER_YAML_MAPPING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace winnow {

enum class YamlKind : uint8_t {
  kPlain,    // 5, true, 10s: without quotes
  kQuoted,   // "5", and block texts
  kList,     // of either
  kNull,     // nothing, null or ~
  kComplex,  // anything else: a mapping, or a list of such
};

struct YamlEntry {
  std::string key;
  YamlKind kind = YamlKind::kPlain;
  std::vector<std::string> values;  // one; kList: any number; kNull, kComplex: none
  int line = 0;                     // of the key, from 1
};

// In the order of the file; empty if it has nothing but comments. INVALID_ARGUMENT "LINE: why" (or
// "why", where there is no line): not YAML, not one mapping, a key that is no text, a key given
// twice.
absl::StatusOr<std::vector<YamlEntry>> ParseYamlMapping(absl::string_view text);

// As a scalar that YAML and JSON read back as this text: in double quotes unless it can do without.
std::string YamlScalar(absl::string_view text);

}  // namespace winnow

#endif  // WINNOW_SERVER_YAML_MAPPING_H_
