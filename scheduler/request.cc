#include "scheduler/request.h"

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
    : tokens(spec.prompt), spec_(std::move(spec)), sink_(std::move(sink)) {
  WINNOW_CHECK(!spec_.prompt.empty()) << "request " << spec_.id;
  WINNOW_CHECK(sink_ != nullptr) << "request " << spec_.id;
}

void Request::Transition(RequestState from, RequestState to) {
  WINNOW_CHECK(state_ == from) << "request " << spec_.id << " is in state "
                               << static_cast<int>(state_) << ", not " << static_cast<int>(from);
  WINNOW_CHECK(Legal(from, to)) << "request " << spec_.id << ": " << static_cast<int>(from)
                                << " -> " << static_cast<int>(to);
  state_ = to;
}

}  // namespace winnow
