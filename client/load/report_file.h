// Where reports go: a file, or standard output.
#ifndef WINNOW_CLIENT_LOAD_REPORT_FILE_H_
#define WINNOW_CLIENT_LOAD_REPORT_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace winnow::load {

// Writes a whole report to the path, "-" for standard output. The error names the path.
absl::Status WriteReport(const std::string& path, const std::string& text);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_REPORT_FILE_H_
