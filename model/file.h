// Files as the loaders read them: small ones as strings, large ones mapped into memory.
//
// Errors carry the path: NOT_FOUND when there is no such file, INVALID_ARGUMENT for what is not a
// regular file or too large, else what the system says.
#ifndef WINNOW_MODEL_FILE_H_
#define WINNOW_MODEL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace winnow {

// The whole of a regular file of at most max_bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes);

// `status` with "path: " before its message.
absl::Status AtPath(const std::string& path, const absl::Status& status);

// A regular file mapped read-only; unmapped on destruction. Movable, otherwise immutable and
// thread-safe. The file must not shrink while it is mapped (the system then ends the process at the
// first access beyond its end), so checkpoints are replaced by renaming, never rewritten in place.
class MappedFile {
 public:
  // Maps and asks the system to read ahead; does not wait for the content.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // The content; page aligned. Empty for an empty file.
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_FILE_H_
