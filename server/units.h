// Sizes and durations as people write them in flags. Pure functions.
#ifndef WINNOW_SERVER_UNITS_H_
#define WINNOW_SERVER_UNITS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace winnow {

// "4GiB", "1.5MiB", "800kB", "4096": a number, then B, KiB, MiB, GiB, TiB (powers of 1024) or kB,
// MB, GB, TB (powers of 1000); without a unit: bytes. Whole bytes result. INVALID_ARGUMENT says
// what is wrong, without the text itself.
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);

// "5s", "250ms", "1h30m", "0": not negative, not infinite.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// The shortest exact form: 4294967296 -> "4GiB", 1000 -> "1000B".
std::string FormatBytes(int64_t bytes);

}  // namespace winnow

#endif  // WINNOW_SERVER_UNITS_H_
