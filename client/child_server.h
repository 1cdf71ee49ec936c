// ChildServer: a winnow-server started as a child process on a free loopback port, for the demo and
// for tests.
//
// The child dies with this process. Its log goes to a file, which an error message quotes.
#ifndef WINNOW_CLIENT_CHILD_SERVER_H_
#define WINNOW_CLIENT_CHILD_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace winnow {

class ChildServer {
 public:
  // Runs `binary --listen=127.0.0.1:0 flags...` and waits until it says where it listens. Errors:
  // the binary cannot be run, ends early (with the end of its log), or does not listen within
  // `timeout`.
  static absl::StatusOr<std::unique_ptr<ChildServer>> Start(const std::string& binary,
                                                            const std::vector<std::string>& flags,
                                                            absl::Duration timeout);
  ~ChildServer();  // kills the child if it still runs
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;

  const std::string& address() const { return address_; }  // "127.0.0.1:43210"
  pid_t pid() const { return pid_; }

  // Sends a signal.
  void Signal(int signal);
  // Waits for the child to end; returns its exit code, or 128 + signal.
  int WaitForExit();
  // The end of its log.
  std::string LogTail() const;

 private:
  ChildServer() = default;
  absl::Status AwaitAddress(int output, absl::Duration timeout);

  pid_t pid_ = -1;
  bool ended_ = false;
  std::string address_;
  std::string log_path_;
};

}  // namespace winnow

#endif  // WINNOW_CLIENT_CHILD_SERVER_H_
