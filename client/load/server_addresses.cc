#include "client/load/server_addresses.h"

#include <netdb.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace winnow::load {
namespace {

struct Address {
  int family = AF_UNSPEC;
  std::string numeric;  // "10.0.0.1:50051", "[::1]:50051"
};

absl::StatusOr<Address> Resolve(const std::string& server) {
  const size_t colon = server.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == server.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--server=", server, ": of several servers each must be HOST:PORT"));
  }
  std::string host = server.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int error = getaddrinfo(host.c_str(), server.c_str() + colon + 1, &hints, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  char ip[NI_MAXHOST], port[NI_MAXSERV];
  if (error == 0) {
    error = getnameinfo(found->ai_addr, found->ai_addrlen, ip, sizeof(ip), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV);
  }
  if (error != 0) {
    return absl::NotFoundError(absl::StrCat("--server=", server, ": ", gai_strerror(error)));
  }
  const bool v6 = found->ai_family == AF_INET6;
  return Address{found->ai_family,
                 v6 ? absl::StrCat("[", ip, "]:", port) : absl::StrCat(ip, ":", port)};
}

}  // namespace

absl::StatusOr<std::string> TargetOf(const std::vector<std::string>& servers) {
  if (servers.size() == 1) return servers[0];
  std::vector<std::string> numeric;
  int family = AF_UNSPEC;
  for (const std::string& server : servers) {
    auto address = Resolve(server);
    if (!address.ok()) return address.status();
    if (family != AF_UNSPEC && family != address->family) {
      return absl::InvalidArgumentError(
          absl::StrCat("--server=", server, ": is ", address->numeric,
                       "; several servers must all have IPv4 addresses or all IPv6 addresses"));
    }
    family = address->family;
    numeric.push_back(std::move(address->numeric));
  }
  // The ipv6 scheme takes its brackets percent-encoded or not; gRPC accepts them bare.
  return absl::StrCat(family == AF_INET6 ? "ipv6:" : "ipv4:", absl::StrJoin(numeric, ","));
}

}  // namespace winnow::load
