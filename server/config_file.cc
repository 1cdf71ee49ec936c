#include "server/config_file.h"

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/text_file.h"
#include "server/yaml_mapping.h"

namespace winnow {
namespace {

constexpr size_t kMaxFileBytes = 64 << 10;

// A value as a person would recognize it.
std::string Shown(const YamlEntry& entry) {
  switch (entry.kind) {
    case YamlKind::kPlain:
      return entry.values[0];
    case YamlKind::kQuoted:
      return absl::StrCat("\"", entry.values[0], "\"");
    case YamlKind::kList:
      return absl::StrCat("[", absl::StrJoin(entry.values, ", "), "]");
    case YamlKind::kNull:
      return "null";
    case YamlKind::kComplex:
      return "{...}";
  }
  return "";
}

bool HasTypeOf(const YamlEntry& entry, FlagKind kind) {
  switch (entry.kind) {
    case YamlKind::kPlain:
      return true;
    case YamlKind::kQuoted:
      return kind == FlagKind::kText || kind == FlagKind::kList;
    case YamlKind::kList:
      return kind == FlagKind::kList && !entry.values.empty();
    default:
      return false;
  }
}

absl::Status SetFlag(const YamlEntry& entry, const FlagSet& flags) {
  const Flag* flag = flags.Find(entry.key);
  if (flag == nullptr) {
    return BadFlag(entry.key, Shown(entry), "there is no such flag; --help lists those there are");
  }
  if (!HasTypeOf(entry, flag->kind)) {
    return BadFlag(entry.key, Shown(entry), absl::StrCat("must be ", flag->allowed));
  }
  return flag->set(absl::StrJoin(entry.values, ","));
}

}  // namespace

absl::Status SetFlagsFromFile(const std::string& path, const FlagSet& flags) {
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  const auto entries = ParseYamlMapping(*text);
  if (!entries.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", entries.status().message()));
  }
  for (const YamlEntry& entry : *entries) {
    const absl::Status status = SetFlag(entry, flags);
    if (status.ok()) continue;
    return absl::InvalidArgumentError(absl::StrCat(path, ":", entry.line, ": ", status.message()));
  }
  return absl::OkStatus();
}

std::string FormatConfig(const FlagSet& flags) {
  std::string text, group;
  for (const Flag& flag : flags.flags()) {
    const std::optional<std::string> value = flag.get();
    if (!value.has_value()) continue;
    if (flag.group != group)
      absl::StrAppend(&text, text.empty() ? "" : "\n", "# ", flag.group, "\n");
    group = flag.group;
    absl::StrAppend(&text, flag.name, ": ", YamlScalar(*value), "\n");
  }
  return text;
}

}  // namespace winnow
