// ChoiceStream: turns what the engine produced for one choice into its messages: Deltas, then one
// Finish. A part of ResponseBuilder; owned by one stream, not thread-safe.
#ifndef WINNOW_SERVER_CHOICE_STREAM_H_
#define WINNOW_SERVER_CHOICE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proto/winnow/v1/generation.pb.h"
#include "server/choice_text.h"
#include "server/output_buffer.h"
#include "server/stream_facts.h"

namespace winnow {

// For any message that reports logprobs.
void FillLogprobs(const OutputToken& token, v1::PositionLogprobs* message);

class ChoiceStream {
 public:
  // `tokenizer` is null if no text is wanted. All arguments outlive this.
  ChoiceStream(uint32_t choice, const StreamFacts* facts, const Tokenizer* tokenizer);

  // `shown`: the prompt is computed; without it a choice that has ended has no message. REQUIRES:
  // empty() and not ended(), or nothing in `output`.
  void Add(ChoiceOutput output, bool shown);

  bool empty() const { return !HasDelta() && !finish_due_; }
  // REQUIRES: not empty().
  void Next(v1::GenerateResponse* message);

  bool ended() const { return finish_.has_value(); }
  const std::optional<FinishInfo>& finish() const { return finish_; }

 private:
  bool HasDelta() const { return next_token_ < tokens_.size() || !tail_.empty(); }
  void FlushText();
  void FillDelta(v1::Delta* delta);
  void AddToken(const OutputToken& token, v1::Delta* delta);
  void FillFinish(v1::Finish* message) const;
  void FillKept(v1::Finish* message) const;

  const uint32_t choice_;
  const StreamFacts* const facts_;
  std::optional<ChoiceText> text_;  // none: no text

  // Still to be written.
  std::vector<OutputToken> tokens_;
  size_t next_token_ = 0;  // into tokens_
  std::string tail_;       // text that was held back to the end
  bool finish_due_ = false;

  std::optional<FinishInfo> finish_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_CHOICE_STREAM_H_
