// What all servers of this process say about their addresses. Pure functions.
#ifndef WINNOW_SERVER_LISTENING_H_
#define WINNOW_SERVER_LISTENING_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace winnow {

// "localhost:0" bound to port 4321 is "localhost:4321".
inline std::string WithPort(const std::string& address, int port) {
  if (absl::StartsWith(address, "unix:")) return address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

inline absl::Status CannotListen(const std::string& address) {
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ": in use, not permitted, or no such address"));
}

}  // namespace winnow

#endif  // WINNOW_SERVER_LISTENING_H_
