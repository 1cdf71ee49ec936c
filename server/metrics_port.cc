#include "server/metrics_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/listening.h"

namespace winnow {
namespace {

// Null: it cannot listen there, which the library says with an exception.
std::unique_ptr<prometheus::Exposer> Listen(const std::string& ports) {
  const std::vector<std::string> options = {"listening_ports",    ports,  "num_threads", "2",
                                            "request_timeout_ms", "10000"};
  try {
    return std::make_unique<prometheus::Exposer>(options);
  } catch (const std::exception&) {
    return nullptr;
  }
}

// Makes a connection and drops it.
void Poke(int port) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (connection < 0) return;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  close(connection);
}

// The library looks whether it is to stop every two seconds, or when somebody connects: somebody
// does, again and again while this exists.
class Poker {
 public:
  explicit Poker(int port) : thread_([this, port] { Run(port); }) {}
  ~Poker() {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      stop_ = true;
    }
    stopped_.notify_one();
    thread_.join();
  }

 private:
  static constexpr std::chrono::milliseconds kInterval{5};

  void Run(int port) {
    std::unique_lock<std::mutex> lock(mu_);
    while (!stopped_.wait_for(lock, kInterval, [this] { return stop_; })) Poke(port);
  }

  std::mutex mu_;
  std::condition_variable stopped_;
  bool stop_ = false;  // guarded by mu_
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsPort>> MetricsPort::Start(
    int port, std::shared_ptr<prometheus::Collectable> metrics) {
  std::unique_ptr<MetricsPort> self(new MetricsPort());
  self->metrics_ = std::move(metrics);
  self->any_host_ = "[::]";
  self->exposer_ = Listen(absl::StrCat("+", port));  // one socket for IPv4 and IPv6
  if (self->exposer_ == nullptr) {
    self->any_host_ = "0.0.0.0";
    self->exposer_ = Listen(absl::StrCat(port));
  }
  if (self->exposer_ == nullptr) return CannotListen(absl::StrCat("0.0.0.0:", port));
  self->exposer_->RegisterCollectable(self->metrics_);
  return self;
}

MetricsPort::~MetricsPort() {
  if (exposer_ == nullptr) return;
  const Poker poker(port());
  exposer_.reset();
}

std::string MetricsPort::address() const { return absl::StrCat(any_host_, ":", port()); }

}  // namespace winnow
