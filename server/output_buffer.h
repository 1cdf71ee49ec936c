// OutputBuffer: what the engine has produced for one stream and the stream has not yet taken.
//
// Bounded: a client that reads too slowly makes tokens pile up here, until one more than
// `max_tokens`, of all choices together, overflows the buffer; what was pending is dropped then.
// Prompt logprobs are bounded by the request itself (server/validate.h). Not thread-safe: the
// stream guards it with its own lock.
#ifndef WINNOW_SERVER_OUTPUT_BUFFER_H_
#define WINNOW_SERVER_OUTPUT_BUFFER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler/request.h"

namespace winnow {

struct ChoiceOutput {
  std::vector<OutputToken> tokens;        // they become one Delta
  std::optional<FinishInfo> finish = {};  // nothing of this choice follows
};

// Everything pending, moved out at once.
struct PendingOutput {
  // Of the prompt's positions 1, 2, ..., continuing where the last ones ended.
  std::vector<OutputToken> prompt_logprobs;
  std::vector<ChoiceOutput> choices;  // up to the highest that has anything
  bool prompt_computed = false;       // now or earlier
};

class OutputBuffer {
 public:
  explicit OutputBuffer(int64_t max_tokens) : max_tokens_(max_tokens) {}

  void AddPromptComputed() { prompt_computed_ = true; }
  // REQUIRES: first_position continues the previous call's; the first is 1.
  void AddPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs);
  // False if this one overflowed the buffer; after that everything is ignored.
  bool AddToken(uint32_t choice, OutputToken token);
  void AddFinish(uint32_t choice, FinishInfo info);

  // Whether Take would return something that may be sent. Prompt logprobs wait until the prompt is
  // computed.
  bool ready() const;
  PendingOutput Take();

 private:
  ChoiceOutput& Choice(uint32_t choice);

  const int64_t max_tokens_;
  bool overflowed_ = false;
  bool prompt_computed_ = false;
  bool prompt_announced_ = false;  // a Take has told that the prompt is computed
  int64_t next_prompt_position_ = 1;
  int64_t num_tokens_ = 0;  // pending, of all choices
  PendingOutput pending_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_OUTPUT_BUFFER_H_
