#include "model/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace winnow {
namespace {

// An open file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct OpenFile {
  Descriptor descriptor;
  int64_t size_bytes = 0;
};

absl::StatusOr<OpenFile> OpenRegular(const std::string& path) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  Descriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.fd() < 0) return absl::ErrnoToStatus(errno, path);
  struct stat status;
  if (fstat(descriptor.fd(), &status) != 0) return absl::ErrnoToStatus(errno, path);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  }
  return OpenFile{std::move(descriptor), status.st_size};
}

}  // namespace

absl::Status AtPath(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  absl::StatusOr<OpenFile> file = OpenRegular(path);
  if (!file.ok()) return file.status();
  if (file->size_bytes > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", file->size_bytes, " bytes; at most ", max_bytes, " are read"));
  }
  std::string content(file->size_bytes, '\0');
  for (size_t done = 0; done < content.size();) {
    const ssize_t n = read(file->descriptor.fd(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, path);
    if (n == 0)
      return absl::DataLossError(absl::StrCat(path, ": became shorter while it was read"));
    done += n;
  }
  return content;
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  absl::StatusOr<OpenFile> file = OpenRegular(path);
  if (!file.ok()) return file.status();
  MappedFile mapped;
  if (file->size_bytes == 0) return mapped;  // mmap refuses a length of 0
  void* data =
      mmap(nullptr, file->size_bytes, PROT_READ, MAP_PRIVATE, file->descriptor.fd(), /*offset=*/0);
  if (data == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": mmap"));
  mapped.data_ = data;
  mapped.size_ = file->size_bytes;
  madvise(data, mapped.size_, MADV_WILLNEED);  // a hint: what it answers does not matter
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace winnow
