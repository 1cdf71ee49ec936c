// Traffic: keeps calls in flight to a server and counts how they end. Call number i of a seed is
// always the same; how calls meet is not.
//
// A call that finds the queue full leaves its place empty for a moment, as a client does that
// comes back later. Pump and Drain belong to one thread; reports come from threads of gRPC.
#ifndef WINNOW_TESTS_SOAK_TRAFFIC_H_
#define WINNOW_TESTS_SOAK_TRAFFIC_H_

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "tests/soak/soak_call.h"

namespace winnow::soak {

struct Tally {
  std::array<std::array<int64_t, kNumEndings>, kNumBehaviours> calls = {};
  uint64_t num_prompt_tokens = 0, num_output_tokens = 0;
  std::vector<std::string> wrong;  // the first ones

  int64_t Num(Ending ending) const;
  int64_t Num(Behaviour behaviour) const;
  int64_t Total() const;
};

class Traffic {
 public:
  Traffic(std::string address, uint64_t seed, int max_in_flight);
  ~Traffic();  // drains
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  // Keeps the server busy until then.
  void Pump(absl::Time until);
  // Waits for the calls in flight; starts none.
  void Drain();

  Tally tally() const;

 private:
  // Whether a call may start; if not, forgets places that have been empty for long enough.
  bool HasPlace(absl::Time now);  // REQUIRES mu_ held
  void StartNext();
  void Take(const CallReport& report);

  const std::string address_;
  const uint64_t seed_;
  const int max_in_flight_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  uint64_t next_call_ = 0;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  int in_flight_ = 0;             // guarded by mu_
  std::queue<absl::Time> empty_;  // guarded by mu_; until when places stay empty, in order
  Tally tally_;                   // guarded by mu_
};

}  // namespace winnow::soak

#endif  // WINNOW_TESTS_SOAK_TRAFFIC_H_
