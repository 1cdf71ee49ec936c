#include "client/child_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace winnow {
namespace {

constexpr char kListening[] = "listening on ";
constexpr size_t kLogTailBytes = 2000;

absl::Status SystemError(const std::string& what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void Exec(pid_t parent, int output, int log, char* const* argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  dup2(output, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(argv[0], argv);
  const char* reason = std::strerror(errno);
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, reason, std::strlen(reason));
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildServer>> ChildServer::Start(
    const std::string& binary, const std::vector<std::string>& flags, absl::Duration timeout) {
  std::unique_ptr<ChildServer> server(new ChildServer());
  server->log_path_ = "/tmp/winnow-server-XXXXXX";
  const int log = mkostemp(server->log_path_.data(), O_CLOEXEC);
  if (log < 0) return SystemError(absl::StrCat("cannot create ", server->log_path_));
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) return SystemError("pipe");

  std::vector<std::string> words = {binary, "--listen=127.0.0.1:0"};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const pid_t parent = getpid();
  server->pid_ = fork();
  if (server->pid_ == 0) Exec(parent, output[1], log, argv.data());
  close(log);
  close(output[1]);
  const absl::Status status =
      server->pid_ < 0 ? SystemError("fork") : server->AwaitAddress(output[0], timeout);
  // The read end stays open for the child's life: later lines must not kill it with SIGPIPE.
  if (!status.ok()) {
    close(output[0]);
    return status;
  }
  return server;
}

absl::Status ChildServer::AwaitAddress(int output, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  std::string text;
  while (true) {
    const size_t begin = text.find(kListening);
    const size_t end = begin == std::string::npos ? begin : text.find('\n', begin);
    if (end != std::string::npos) {
      const size_t address = begin + sizeof(kListening) - 1;
      address_ = text.substr(address, end - address);
      return absl::OkStatus();
    }
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left_ms <= 0) {
      return absl::DeadlineExceededError(absl::StrCat("the server did not listen within ",
                                                      absl::FormatDuration(timeout), "; its log:\n",
                                                      LogTail()));
    }
    pollfd ready = {output, POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(left_ms)) <= 0) continue;
    char buffer[512];
    const ssize_t n = read(output, buffer, sizeof(buffer));
    if (n <= 0) {
      const int code = WaitForExit();
      return absl::InternalError(
          absl::StrCat("the server ended with exit code ", code, "; its log:\n", LogTail()));
    }
    text.append(buffer, n);
  }
}

std::string ChildServer::LogTail() const {
  std::ifstream file(log_path_);
  const std::string log((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return log.size() <= kLogTailBytes ? log : log.substr(log.size() - kLogTailBytes);
}

ChildServer::~ChildServer() {
  if (pid_ > 0 && !ended_) {
    Signal(SIGKILL);
    WaitForExit();
  }
  if (!log_path_.empty()) unlink(log_path_.c_str());
}

void ChildServer::Signal(int signal) {
  if (!ended_) kill(pid_, signal);
}

int ChildServer::WaitForExit() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  ended_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace winnow
