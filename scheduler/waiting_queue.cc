#include "scheduler/waiting_queue.h"

#include "kernels/check.h"

namespace winnow {

WaitingQueue::WaitingQueue(absl::Duration ageing) : ageing_(ageing) {
  WINNOW_CHECK(absl::ZeroDuration() < ageing && ageing < absl::InfiniteDuration());
}

WaitingQueue::Key WaitingQueue::KeyOf(const Request& request) const {
  return {request.spec().arrival - int64_t{request.spec().priority} * ageing_, request.order};
}

void WaitingQueue::Push(std::shared_ptr<Request> request) {
  num_prompt_tokens_ += request->num_prompt();
  const Key key = KeyOf(*request);
  const bool added = requests_.emplace(key, std::move(request)).second;
  WINNOW_CHECK(added) << "two requests of order " << key.second;
}

std::shared_ptr<Request> WaitingQueue::PopFirst() {
  WINNOW_CHECK(!empty());
  std::shared_ptr<Request> request = std::move(requests_.begin()->second);
  requests_.erase(requests_.begin());
  num_prompt_tokens_ -= request->num_prompt();
  return request;
}

std::vector<std::shared_ptr<Request>> WaitingQueue::RemoveIf(
    const std::function<bool(const Request&)>& condition) {
  std::vector<std::shared_ptr<Request>> removed;
  for (auto it = requests_.begin(); it != requests_.end();) {
    if (!condition(*it->second)) {
      ++it;
      continue;
    }
    num_prompt_tokens_ -= it->second->num_prompt();
    removed.push_back(std::move(it->second));
    it = requests_.erase(it);
  }
  return removed;
}

void WaitingQueue::CheckInvariants() const {
  int64_t num_prompt_tokens = 0;
  for (const auto& [key, request] : requests_) {
    WINNOW_CHECK(key == KeyOf(*request)) << request->spec().id;
    WINNOW_CHECK(request->state() == RequestState::kWaiting) << request->spec().id;
    for (const Sequence& sequence : request->sequences) {
      WINNOW_CHECK(sequence.state == SequenceState::kIdle) << request->spec().id;
    }
    WINNOW_CHECK(request->slots.bound == 0 && request->pages.bound == 0) << request->spec().id;
    num_prompt_tokens += request->num_prompt();
  }
  WINNOW_CHECK(num_prompt_tokens == num_prompt_tokens_) << num_prompt_tokens_;
}

}  // namespace winnow
