// Reading the small files that a server is configured with, again and again while it runs.
#ifndef WINNOW_SERVER_TEXT_FILE_H_
#define WINNOW_SERVER_TEXT_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace winnow {

// A regular file's bytes. The error names the file and says why: it cannot be opened or read, is
// not a regular file, or is longer than max_bytes. Never waits for a writer, as a pipe would.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes);

}  // namespace winnow

#endif  // WINNOW_SERVER_TEXT_FILE_H_
