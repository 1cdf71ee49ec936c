#include "tests/e2e/http_get.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/check.h"

namespace winnow {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

absl::StatusOr<std::string> Exchange(int connection, absl::string_view request) {
  while (!request.empty()) {
    const ssize_t n = send(connection, request.data(), request.size(), MSG_NOSIGNAL);
    if (n <= 0) return absl::UnavailableError("the peer hung up");
    request.remove_prefix(static_cast<size_t>(n));
  }
  std::string answer;
  char buffer[16384];
  ssize_t n;
  while ((n = recv(connection, buffer, sizeof(buffer), 0)) > 0) answer.append(buffer, n);
  if (n < 0) return absl::UnavailableError("the peer hung up");
  return answer;
}

}  // namespace

absl::StatusOr<std::string> HttpGet(int port, const std::string& path) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  WINNOW_CHECK(connection >= 0);
  const absl::Cleanup close_connection = [connection] { close(connection); };
  const sockaddr_in address = Loopback(port);
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::UnavailableError("nobody listens");
  }
  // 1.0: the answer ends with the connection.
  const auto answer =
      Exchange(connection, absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: localhost\r\n\r\n"));
  if (!answer.ok()) return answer.status();
  const size_t head_end = answer->find("\r\n\r\n");
  if (head_end == std::string::npos) return absl::UnavailableError("no whole answer");
  const std::string status = answer->substr(0, answer->find("\r\n"));
  if (!absl::StrContains(status, " 200 ")) return absl::NotFoundError(status);
  return answer->substr(head_end + 4);
}

int FreePort() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const absl::Cleanup close_listener = [listener] { close(listener); };
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  WINNOW_CHECK(bind(listener, any, size) == 0 && getsockname(listener, any, &size) == 0);
  return ntohs(address.sin_port);
}

}  // namespace winnow
