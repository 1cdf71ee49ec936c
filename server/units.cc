#include "server/units.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace winnow {
namespace {

struct Unit {
  absl::string_view name;
  int64_t bytes;
};
constexpr std::array<Unit, 9> kUnits = {{
    {"TiB", int64_t{1} << 40},
    {"GiB", int64_t{1} << 30},
    {"MiB", int64_t{1} << 20},
    {"KiB", int64_t{1} << 10},
    {"TB", 1'000'000'000'000},
    {"GB", 1'000'000'000},
    {"MB", 1'000'000},
    {"kB", 1'000},
    {"B", 1},
}};

}  // namespace

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789.");
  const absl::string_view number = text.substr(0, digits);
  const absl::string_view unit = digits == absl::string_view::npos ? "B" : text.substr(digits);
  for (const Unit& known : kUnits) {
    if (unit != known.name) continue;
    double value = 0;
    if (!absl::SimpleAtod(number, &value)) break;
    const double bytes = value * static_cast<double>(known.bytes);
    if (bytes >= 0x1p62) return absl::InvalidArgumentError("is larger than 4194304TiB");
    if (bytes != std::floor(bytes)) {
      return absl::InvalidArgumentError("is not a whole number of bytes");
    }
    return static_cast<int64_t>(bytes);
  }
  return absl::InvalidArgumentError(
      "is not a size: write a number and B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, like 4GiB");
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        "is not a duration: write numbers and ms, s, m or h, like 250ms or 1m30s");
  }
  if (duration < absl::ZeroDuration()) return absl::InvalidArgumentError("is negative");
  return duration;
}

std::string FormatBytes(int64_t bytes) {
  for (const Unit& unit : kUnits) {
    const bool binary = unit.name.size() != 2;  // KiB, MiB, ...; B itself ends the search
    if (binary && bytes >= unit.bytes && bytes % unit.bytes == 0) {
      return absl::StrCat(bytes / unit.bytes, unit.name);
    }
  }
  return absl::StrCat(bytes, "B");
}

}  // namespace winnow
