// WaitingQueue: the requests that wait for admission, by priority (higher first), then arrival.
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

#include "scheduler/request.h"

namespace winnow {

class WaitingQueue {
 public:
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
  using Key = std::pair<int64_t, uint64_t>;  // (-priority, order)
  static Key KeyOf(const Request& request);

  std::map<Key, std::shared_ptr<Request>> requests_;
  int64_t num_prompt_tokens_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_WAITING_QUEUE_H_
