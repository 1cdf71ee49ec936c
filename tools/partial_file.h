// PartialFile: a file that appears under its name only when it is complete. Written as
// "<path>.partial", of a size known beforehand; removed again unless Commit succeeds.
//
// WriteAt may be called by several threads at once, for different places.
#ifndef WINNOW_TOOLS_PARTIAL_FILE_H_
#define WINNOW_TOOLS_PARTIAL_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace winnow {

class PartialFile {
 public:
  // Claims the disk space; RESOURCE_EXHAUSTED naming the size when there is not enough.
  static absl::StatusOr<PartialFile> Create(const std::string& path, int64_t size_bytes);

  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile();

  const std::string& path() const { return path_; }
  absl::Status WriteAt(int64_t offset, const void* data, int64_t size_bytes);
  // Closes the file and gives it its name, replacing a file that had it.
  absl::Status Commit();

 private:
  explicit PartialFile(std::string path) : path_(std::move(path)) {}
  std::string partial_path() const { return path_ + ".partial"; }

  std::string path_;
  int fd_ = -1;
};

}  // namespace winnow

#endif  // WINNOW_TOOLS_PARTIAL_FILE_H_
