// Flags from a YAML or JSON file, and back.
//
//   # what --threads=4 --shutdown_delay=10s --log_requests says
//   threads: 4
//   shutdown_delay: 10s
//   log_requests: true
//
// Flags that take several values separated by commas may be given as a list, too.
#ifndef WINNOW_SERVER_CONFIG_FILE_H_
#define WINNOW_SERVER_CONFIG_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "server/flag_set.h"

namespace winnow {

// Sets what the file gives. An error names the file, the line, the flag, its value and what is
// allowed: the file cannot be read or is not one mapping, there is no such flag, a value has
// another type than the flag or is out of range.
absl::Status SetFlagsFromFile(const std::string& path, const FlagSet& flags);

// All flags that have a value, by group, as YAML that SetFlagsFromFile reads back.
std::string FormatConfig(const FlagSet& flags);

}  // namespace winnow

#endif  // WINNOW_SERVER_CONFIG_FILE_H_
