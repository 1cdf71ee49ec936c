// Several servers as one gRPC target.
#ifndef WINNOW_CLIENT_LOAD_SERVER_ADDRESSES_H_
#define WINNOW_CLIENT_LOAD_SERVER_ADDRESSES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace winnow::load {

// One server: its own target as given, of any form that gRPC knows. Several: HOST:PORT each, which
// are looked up here and now, since gRPC takes several addresses in one target only as numbers:
// "ipv4:10.0.0.1:50051,10.0.0.2:50051". Errors name the server: not HOST:PORT, a host without
// address, or IPv4 and IPv6 together.
absl::StatusOr<std::string> TargetOf(const std::vector<std::string>& servers);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_SERVER_ADDRESSES_H_
