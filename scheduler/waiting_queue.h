// WaitingQueue: the requests that wait for admission, by priority and age.
//
// Each level of priority is worth one `ageing` of waiting: a request stands where one of priority 0
// would that arrived priority * ageing earlier. So one of higher priority goes first, but nobody is
// overtaken for ever: what comes more than (difference of priorities) * ageing later stays behind.
// And the order of two requests never changes while they wait. Of equal ones the first to come is
// first.
//
// Push and PopFirst are O(log n). RemoveIf looks at every request, once a step: some 0.1 us each,
// so a queue of 1024 costs 0.1 ms a step. Single threaded.
#ifndef WINNOW_SCHEDULER_WAITING_QUEUE_H_
#define WINNOW_SCHEDULER_WAITING_QUEUE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/request.h"

namespace winnow {

class WaitingQueue {
 public:
  // REQUIRES: ageing > 0 and finite.
  explicit WaitingQueue(absl::Duration ageing);

  // REQUIRES: request->order is larger than that of every request pushed before.
  void Push(std::shared_ptr<Request> request);

  // REQUIRES: not empty.
  const std::shared_ptr<Request>& first() const { return requests_.begin()->second; }
  std::shared_ptr<Request> PopFirst();

  // Takes out the requests that `condition` holds for, in order.
  std::vector<std::shared_ptr<Request>> RemoveIf(
      const std::function<bool(const Request&)>& condition);

  bool empty() const { return requests_.empty(); }
  int64_t size() const { return static_cast<int64_t>(requests_.size()); }
  int64_t num_prompt_tokens() const { return num_prompt_tokens_; }

  // Rebuilds the invariants from scratch and CHECKs them; for tests.
  void CheckInvariants() const;

 private:
  using Key = std::pair<absl::Time, uint64_t>;  // (virtual arrival, order)
  Key KeyOf(const Request& request) const;

  const absl::Duration ageing_;
  std::map<Key, std::shared_ptr<Request>> requests_;
  int64_t num_prompt_tokens_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_WAITING_QUEUE_H_
