// FragileConnection: a gRPC connection of its own that can break like that of a client that is
// killed: at the socket, without a word of HTTP/2. Its flow-control windows do not grow, so that
// the server soon notices when nobody reads. Thread-safe.
#ifndef WINNOW_TESTS_SOAK_FRAGILE_CONNECTION_H_
#define WINNOW_TESTS_SOAK_FRAGILE_CONNECTION_H_

#include <memory>
#include <string>

#include "grpcpp/channel.h"

namespace winnow::soak {

class FragileConnection {
 public:
  // Connects to "127.0.0.1:PORT"; CHECKs that it can.
  explicit FragileConnection(const std::string& address);
  ~FragileConnection();
  FragileConnection(const FragileConnection&) = delete;
  FragileConnection& operator=(const FragileConnection&) = delete;

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  void Break();

 private:
  int socket_ = -1;  // a duplicate: gRPC owns the other
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace winnow::soak

#endif  // WINNOW_TESTS_SOAK_FRAGILE_CONNECTION_H_
