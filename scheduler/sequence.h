// Sequence: one choice of a request: its output so far, how much of prompt and output is in its
// state, and what it holds of the pools.
//
// The first choice computes the prompt; then the others are forked from it, each with a copy of its
// state. Engine thread only.
#ifndef WINNOW_SCHEDULER_SEQUENCE_H_
#define WINNOW_SCHEDULER_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <vector>

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

  std::vector<uint32_t> output;
  // Tokens of prompt and output that are in the sequence's state.
  int64_t num_computed = 0;
  std::vector<int32_t> kept_counts;  // per kept list, after the last step; empty before the first

  int32_t slot = kScratchSlot;  // of the request's reservation, as the pages
  SequencePages pages;

  uint64_t last_step = 0;  // in which it was last served; or the one before its admission
  std::unique_ptr<StopMatcher> stop_matcher;  // null: no stop strings
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_SEQUENCE_H_
