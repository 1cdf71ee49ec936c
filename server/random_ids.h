// Random numbers for what a client has left to the server. Thread-safe; not for secrets.
#ifndef WINNOW_SERVER_RANDOM_IDS_H_
#define WINNOW_SERVER_RANDOM_IDS_H_

#include <cstdint>
#include <random>
#include <string>

#include "absl/strings/str_format.h"

namespace winnow {

inline uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

// 16 hexadecimal digits.
inline std::string RandomRequestId() { return absl::StrFormat("%016x", RandomSeed()); }

}  // namespace winnow

#endif  // WINNOW_SERVER_RANDOM_IDS_H_
