// The values of winnow-load's flags that have a form of their own. Errors name flag and value and
// say what to write.
#ifndef WINNOW_CLIENT_LOAD_LEVEL_FLAGS_H_
#define WINNOW_CLIENT_LOAD_LEVEL_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/load/load_options.h"

namespace winnow::load {

inline constexpr double kMinRate = 0.001, kMaxRate = 1'000'000;  // requests per second

// "4" or "1..20".
absl::StatusOr<RateRange> ParseRate(absl::string_view value);

// "ttft:200", "tpot:40", "e2el:5000": each name once.
absl::StatusOr<Slos> ParseSlos(const std::vector<std::string>& values);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_LEVEL_FLAGS_H_
