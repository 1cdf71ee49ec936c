#include "scheduler/request.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace winnow {
namespace {

bool Legal(RequestState from, RequestState to) {
  switch (from) {
    case RequestState::kWaiting:
      return to == RequestState::kRunning || to == RequestState::kFinished;
    case RequestState::kRunning:
      return to == RequestState::kFinished;
    case RequestState::kFinished:
      return false;
  }
  return false;
}

}  // namespace

Request::Request(RequestSpec spec, std::shared_ptr<OutputSink> sink)
    : spec_(std::move(spec)), sink_(std::move(sink)) {
  WINNOW_CHECK(!spec_.prompt.empty()) << "request " << spec_.id;
  WINNOW_CHECK(spec_.num_choices >= 1) << "request " << spec_.id;
  WINNOW_CHECK(sink_ != nullptr) << "request " << spec_.id;
  sequences.resize(spec_.num_choices);
  for (uint32_t choice = 0; choice < spec_.num_choices; ++choice) {
    sequences[choice].choice = choice;
    if (spec_.make_stop_matcher) sequences[choice].stop_matcher = spec_.make_stop_matcher();
  }
}

uint32_t Request::num_live() const {
  return static_cast<uint32_t>(std::count_if(
      sequences.begin(), sequences.end(),
      [](const Sequence& sequence) { return sequence.state != SequenceState::kEnded; }));
}

bool Request::can_go_on(const Sequence& sequence) const {
  if (!prompt_planned(sequence)) return true;
  if (!prompt_done.has_value() && sequences.size() > 1) return false;
  // The token after those planned is sampled by then.
  return sequence.num_planned + 1 < num_prompt() + max_output;
}

void Request::Transition(RequestState from, RequestState to) {
  WINNOW_CHECK(state_ == from) << "request " << spec_.id << " is in state "
                               << static_cast<int>(state_) << ", not " << static_cast<int>(from);
  WINNOW_CHECK(Legal(from, to)) << "request " << spec_.id << ": " << static_cast<int>(from)
                                << " -> " << static_cast<int>(to);
  state_ = to;
}

}  // namespace winnow
