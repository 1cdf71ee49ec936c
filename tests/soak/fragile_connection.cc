#include "tests/soak/fragile_connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "grpcpp/create_channel_posix.h"
#include "grpcpp/support/channel_arguments.h"
#include "kernels/check.h"

namespace winnow::soak {

FragileConnection::FragileConnection(const std::string& address) {
  int port = 0;
  WINNOW_CHECK(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  WINNOW_CHECK(socket >= 0) << std::strerror(errno);
  WINNOW_CHECK(connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0)
      << address << ": " << std::strerror(errno);
  WINNOW_CHECK(fcntl(socket, F_SETFL, O_NONBLOCK) == 0) << std::strerror(errno);
  socket_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  WINNOW_CHECK(socket_ >= 0) << std::strerror(errno);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  channel_ = grpc::CreateCustomInsecureChannelFromFd("soak", socket, arguments);
}

FragileConnection::~FragileConnection() { close(socket_); }

void FragileConnection::Break() { shutdown(socket_, SHUT_RDWR); }

}  // namespace winnow::soak
