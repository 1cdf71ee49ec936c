#include "server/numeric_addresses.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace winnow {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressList Resolve(const std::string& host) {
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) found = nullptr;
  return AddressList(found, freeaddrinfo);
}

std::string Format(const addrinfo& info, const std::string& port) {
  char host[NI_MAXHOST];
  if (getnameinfo(info.ai_addr, info.ai_addrlen, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) !=
      0) {
    return "";
  }
  const bool is_ipv6 = info.ai_family == AF_INET6;
  return absl::StrCat(is_ipv6 ? "[" : "", host, is_ipv6 ? "]:" : ":", port);
}

}  // namespace

std::vector<std::string> NumericAddresses(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (absl::StartsWith(address, "unix:") || absl::StartsWith(address, "[") ||
      colon == std::string::npos) {
    return {address};
  }
  std::vector<std::string> numeric;
  const AddressList list = Resolve(address.substr(0, colon));
  for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
    std::string text = Format(*info, address.substr(colon + 1));
    const bool known = std::find(numeric.begin(), numeric.end(), text) != numeric.end();
    if (!text.empty() && !known) numeric.push_back(std::move(text));
  }
  if (numeric.empty()) return {address};
  return numeric;
}

}  // namespace winnow
