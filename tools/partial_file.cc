#include "tools/partial_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"

namespace winnow {

absl::StatusOr<PartialFile> PartialFile::Create(const std::string& path, int64_t size_bytes) {
  PartialFile file(path);
  const std::string partial = file.partial_path();
  file.fd_ = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file.fd_ < 0) return absl::ErrnoToStatus(errno, partial);
  const int error = size_bytes == 0 ? 0 : posix_fallocate(file.fd_, 0, size_bytes);
  if (error != 0) {
    return absl::ErrnoToStatus(error, absl::StrCat(partial, ": claiming ", size_bytes, " bytes"));
  }
  return file;
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

PartialFile::~PartialFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(partial_path().c_str());
}

absl::Status PartialFile::WriteAt(int64_t offset, const void* data, int64_t size_bytes) {
  const char* next = static_cast<const char*>(data);
  while (size_bytes > 0) {
    const ssize_t n = pwrite(fd_, next, size_bytes, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, partial_path());
    next += n;
    offset += n;
    size_bytes -= n;
  }
  return absl::OkStatus();
}

absl::Status PartialFile::Commit() {
  const int closed = close(std::exchange(fd_, -1));
  const int renamed = closed == 0 ? rename(partial_path().c_str(), path_.c_str()) : -1;
  if (renamed == 0) return absl::OkStatus();
  const absl::Status status = absl::ErrnoToStatus(errno, path_);
  unlink(partial_path().c_str());
  return status;
}

}  // namespace winnow
