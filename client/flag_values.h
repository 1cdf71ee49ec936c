// The values of winnow-client's flags that have a form of their own. Errors name flag and value and
// say what to write; ranges are the server's to check.
#ifndef WINNOW_CLIENT_FLAG_VALUES_H_
#define WINNOW_CLIENT_FLAG_VALUES_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace winnow {

// What --stop=VALUE means: \n is a line break, \t a tab, \\ a backslash; there is no other escape.
absl::StatusOr<std::string> ParseStopText(absl::string_view value);

// Adds what --logit_bias=VALUE says ("ID:BIAS,ID:BIAS"). A token has one bias.
absl::Status ParseLogitBias(absl::string_view value, std::map<uint32_t, float>* biases);

}  // namespace winnow

#endif  // WINNOW_CLIENT_FLAG_VALUES_H_
