#include "tests/soak/traffic.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/time/clock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace winnow::soak {
namespace {

constexpr int kConnections = 4;
constexpr size_t kMostWrong = 20;
constexpr absl::Duration kComeBackLater = absl::Seconds(1);

std::shared_ptr<grpc::Channel> OwnConnection(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

int64_t Tally::Num(Ending ending) const {
  int64_t num = 0;
  for (const auto& row : calls) num += row[static_cast<size_t>(ending)];
  return num;
}

int64_t Tally::Num(Behaviour behaviour) const {
  const auto& row = calls[static_cast<size_t>(behaviour)];
  return std::accumulate(row.begin(), row.end(), int64_t{0});
}

int64_t Tally::Total() const {
  int64_t num = 0;
  for (const auto& row : calls) num = std::accumulate(row.begin(), row.end(), num);
  return num;
}

Traffic::Traffic(std::string address, uint64_t seed, int max_in_flight)
    : address_(std::move(address)), seed_(seed), max_in_flight_(max_in_flight) {
  for (int i = 0; i < kConnections; ++i) channels_.push_back(OwnConnection(address_));
}

Traffic::~Traffic() { Drain(); }

bool Traffic::HasPlace(absl::Time now) {
  while (!empty_.empty() && empty_.front() <= now) empty_.pop();
  return in_flight_ + static_cast<int>(empty_.size()) < max_in_flight_;
}

void Traffic::Pump(absl::Time until) {
  for (absl::Time now = absl::Now(); now < until; now = absl::Now()) {
    {
      std::unique_lock<std::mutex> lock(mu_);
      if (!HasPlace(now)) {
        const absl::Time next = empty_.empty() ? until : std::min(until, empty_.front());
        changed_.wait_until(lock, absl::ToChronoTime(next));
        continue;
      }
      ++in_flight_;
    }
    StartNext();
  }
}

void Traffic::StartNext() {
  const uint64_t call = next_call_++;
  SoakCall::Start(address_, channels_[call % channels_.size()], DrawCallPlan(seed_, call),
                  [this](const CallReport& report) { Take(report); });
}

void Traffic::Take(const CallReport& report) {
  const std::lock_guard<std::mutex> lock(mu_);
  --in_flight_;
  if (report.ending == Ending::kQueueFull) empty_.push(absl::Now() + kComeBackLater);
  const auto behaviour = static_cast<size_t>(report.behaviour);
  ++tally_.calls[behaviour][static_cast<size_t>(report.ending)];
  tally_.num_prompt_tokens += report.num_prompt_tokens;
  tally_.num_output_tokens += report.num_output_tokens;
  if (!report.wrong.empty() && tally_.wrong.size() < kMostWrong) {
    tally_.wrong.push_back(report.wrong);
  }
  changed_.notify_all();
}

void Traffic::Drain() {
  std::unique_lock<std::mutex> lock(mu_);
  changed_.wait(lock, [this] { return in_flight_ == 0; });
}

Tally Traffic::tally() const {
  const std::lock_guard<std::mutex> lock(mu_);
  return tally_;
}

}  // namespace winnow::soak
