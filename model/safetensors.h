// SafetensorsFile: one memory-mapped .safetensors file, checked against every structural rule of
// the format.
//
// Layout: u64 little-endian header length n (<= 100,000,000), n bytes of UTF-8 JSON beginning with
// '{' (space padded), then the tensors' bytes. Offsets are contiguous from 0 without gaps or
// overlaps and end at the end of the file; the product of the shape (checked for overflow) times
// the element size equals the byte span; duplicate keys are refused.
#ifndef WINNOW_MODEL_SAFETENSORS_H_
#define WINNOW_MODEL_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace winnow {

struct SafetensorsEntry {
  std::string dtype;                // as written: "BF16", "F32", "I64", ...
  std::vector<int64_t> shape;       // each >= 0
  const std::byte* data = nullptr;  // inside the mapping; alignment as the file has it
  int64_t size_bytes = 0;
};

// Movable; unmaps on destruction. Immutable and thread-safe otherwise.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  SafetensorsFile(SafetensorsFile&& other) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&& other) noexcept;
  ~SafetensorsFile();

  // By name, sorted.
  const std::map<std::string, SafetensorsEntry, std::less<>>& entries() const { return entries_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

 private:
  SafetensorsFile() = default;

  std::string path_;
  void* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  std::map<std::string, SafetensorsEntry, std::less<>> entries_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

// The parsing half of Open, for tests and fuzzing: `file` is a whole file's content; entries point
// into it.
absl::StatusOr<std::map<std::string, SafetensorsEntry, std::less<>>> ParseSafetensors(
    std::string_view file, std::map<std::string, std::string, std::less<>>* metadata);

}  // namespace winnow

#endif  // WINNOW_MODEL_SAFETENSORS_H_
