#include "client/flag_values.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace winnow {
namespace {

absl::Status Wrong(absl::string_view flag, absl::string_view value, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(flag, "=", value, ": ", why));
}

}  // namespace

absl::StatusOr<std::string> ParseStopText(absl::string_view value) {
  constexpr absl::string_view kEscapes = "nt\\", kMeanings = "\n\t\\";
  if (value.empty()) return Wrong("--stop", value, "write a text of one byte or more");
  std::string text;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '\\') {
      text += value[i];
      continue;
    }
    const absl::string_view escape = value.substr(i, 2);
    const size_t known = escape.size() == 2 ? kEscapes.find(escape[1]) : kEscapes.npos;
    if (known == kEscapes.npos) {
      return Wrong("--stop", value,
                   absl::StrCat(escape, " is no escape; write \\n, \\t, or \\\\ for a backslash"));
    }
    text += kMeanings[known];
    ++i;
  }
  return text;
}

absl::Status ParseLogitBias(absl::string_view value, std::map<uint32_t, float>* biases) {
  constexpr char kFlag[] = "--logit_bias";
  for (const absl::string_view entry : absl::StrSplit(value, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(entry, absl::MaxSplits(':', 1));
    uint32_t id;
    float bias;
    if (!absl::SimpleAtoi(parts.first, &id) || !absl::SimpleAtof(parts.second, &bias)) {
      return Wrong(kFlag, value,
                   absl::StrCat("'", entry,
                                "' is not ID:BIAS, a token id from 0 to 4294967295 and a number, "
                                "like 17:-2.5"));
    }
    if (!biases->emplace(id, bias).second) {
      return Wrong(kFlag, value, absl::StrCat("token ", id, " has a bias already; one is allowed"));
    }
  }
  return absl::OkStatus();
}

}  // namespace winnow
