// StopMatcher: does this token end the text? The scheduler asks it token by token, in Commit, so
// that a stop string ends a sequence in the very step that completes it and the number of tokens
// never depends on timing. server/ implements it on the incremental detokenizer: the scheduler
// never sees text.
//
// One per sequence; the engine thread's.
#ifndef WINNOW_SCHEDULER_STOP_MATCHER_H_
#define WINNOW_SCHEDULER_STOP_MATCHER_H_

#include <cstdint>
#include <optional>
#include <string>

namespace winnow {

class StopMatcher {
 public:
  virtual ~StopMatcher() = default;

  // Takes the sequence's next output token. Returns the stop string that it completes; then the
  // text has ended and nothing is appended any more. `may_stop`: false while the request's
  // min_tokens still demand more, and what is completed then does not count.
  virtual std::optional<std::string> Append(uint32_t token, bool may_stop) = 0;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_STOP_MATCHER_H_
