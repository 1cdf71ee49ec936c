// The JSON header of a .safetensors file, read as a stream of events: its size in memory stays
// close to what it says, whatever a file of 100 MB of brackets may contain.
#ifndef WINNOW_MODEL_SAFETENSORS_HEADER_H_
#define WINNOW_MODEL_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace winnow {

// One tensor's entry, with the right types but otherwise unchecked.
struct SafetensorsHeaderEntry {
  std::string dtype;
  std::vector<uint64_t> shape;
  uint64_t begin = 0;  // bytes from the end of the header
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsHeaderEntry, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

// INVALID_ARGUMENT for what is not JSON in UTF-8, not an object of tensor entries (of exactly
// dtype, shape and data_offsets) and `__metadata__`, or has a key twice.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json);

}  // namespace winnow

#endif  // WINNOW_MODEL_SAFETENSORS_HEADER_H_
