// SafetensorsFile: one memory-mapped .safetensors file, checked against every structural rule of
// the format.
//
// Layout: u64 little-endian header length n (<= 100,000,000), n bytes of UTF-8 JSON beginning with
// '{' (space padded), then the tensors' bytes. The header is an object: per tensor {"dtype",
// "shape", "data_offsets": [begin, end]} and nothing else, and optionally "__metadata__", strings
// by name. Offsets are contiguous from 0 without gaps or overlaps and end at the end of the file;
// the product of the shape (checked for overflow) times the element size equals the byte span;
// duplicate keys are refused. The tensors' values are not looked at.
#ifndef WINNOW_MODEL_SAFETENSORS_H_
#define WINNOW_MODEL_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/file.h"

namespace winnow {

struct SafetensorsEntry {
  std::string dtype;                // as written: "BF16", "F32", "I64", ...
  std::vector<int64_t> shape;       // each >= 0; empty: one element
  const std::byte* data = nullptr;  // inside the mapping; alignment as the file has it
  int64_t size_bytes = 0;
};

using SafetensorsEntries = std::map<std::string, SafetensorsEntry, std::less<>>;
using SafetensorsMetadata = std::map<std::string, std::string, std::less<>>;

// Movable; unmaps on destruction. Immutable and thread-safe otherwise.
class SafetensorsFile {
 public:
  // INVALID_ARGUMENT naming the path and what is wrong; NOT_FOUND.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  // By name, sorted.
  const SafetensorsEntries& entries() const { return entries_; }
  const SafetensorsMetadata& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

 private:
  SafetensorsFile() = default;

  std::string path_;
  MappedFile file_;
  SafetensorsEntries entries_;
  SafetensorsMetadata metadata_;
};

// The parsing half of Open, for tests and fuzzing: `file` is a whole file's content; entries point
// into it. `metadata` may be null.
absl::StatusOr<SafetensorsEntries> ParseSafetensors(std::string_view file,
                                                    SafetensorsMetadata* metadata);

}  // namespace winnow

#endif  // WINNOW_MODEL_SAFETENSORS_H_
