// Sequence: one choice of a request: its output so far, how much of prompt and output is in its
// state, and what it holds of the pools.
//
// The first choice computes the prompt; then the others are forked from it, each with a copy of its
// state. Engine thread only.
#ifndef WINNOW_SCHEDULER_SEQUENCE_H_
#define WINNOW_SCHEDULER_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "model/state_spec.h"
#include "scheduler/sequence_pages.h"
#include "scheduler/stop_matcher.h"

namespace winnow {

enum class SequenceState : uint8_t {
  kIdle,     // waits for admission, or for the prompt that choice 0 computes; holds nothing
  kRunning,  // has a slot
  kEnded,    // holds nothing any more
};

struct Sequence {
  uint32_t choice = 0;  // 0..n-1
  SequenceState state = SequenceState::kIdle;

  // What is known once its steps are committed.
  std::vector<uint32_t> output;
  int64_t num_computed = 0;          // tokens of prompt and output that are in the state
  std::vector<int32_t> kept_counts;  // per kept list; empty before the first step

  // As num_computed, once the steps in flight have run, too: >= num_computed.
  int64_t num_planned = 0;

  int32_t slot = kScratchSlot;  // of the request's reservation, as the pages
  SequencePages pages;

  // The step for which it was last planned; or the last one planned before it was admitted or
  // forked.
  uint64_t last_step = 0;
  std::optional<absl::Time> last_token_time;  // when its last output token was sampled
  std::unique_ptr<StopMatcher> stop_matcher;  // null: no stop strings
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_SEQUENCE_H_
