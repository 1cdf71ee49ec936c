// ResponseBuilder: turns what the engine produced for one request into the messages of its stream.
//
//   builder.Add(buffer.Take());
//   while (!builder.empty()) write(builder.Next());       // builder.ended() tells that this was
//   the last one
//
// Order: PromptInfo, PromptLogprobs, then for each choice its Deltas and one Finish, choices
// interleaved; no message is larger than about 1 MiB. A request that ends before its prompt was
// computed has no message at all, only a status. Owned by one stream, not thread-safe.
#ifndef WINNOW_SERVER_RESPONSE_BUILDER_H_
#define WINNOW_SERVER_RESPONSE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "proto/winnow/v1/generation.pb.h"
#include "server/choice_stream.h"
#include "server/output_buffer.h"
#include "server/stream_facts.h"

namespace winnow {

class ResponseBuilder {
 public:
  // `tokenizer` outlives this; null if no text is wanted.
  ResponseBuilder(StreamFacts facts, const Tokenizer* tokenizer);
  ResponseBuilder(const ResponseBuilder&) = delete;
  ResponseBuilder& operator=(const ResponseBuilder&) = delete;

  // REQUIRES: empty() and not ended().
  void Add(PendingOutput output);

  // Nothing to write now.
  bool empty() const;
  // Fills the next message. REQUIRES: not empty().
  void Next(v1::GenerateResponse* message);

  // The engine has finished every choice; once empty() too, the stream ends with status().
  bool ended() const;
  // OK, or why the first choice that did not end well did not. REQUIRES: ended().
  absl::Status status() const;

  // For the log: of all choices, and the first choice's times. REQUIRES: ended().
  uint64_t num_output_tokens() const;
  const FinishInfo& first_finish() const { return *choices_.front().finish(); }

 private:
  bool HasPromptLogprobs() const { return next_logprob_ < prompt_logprobs_.size(); }
  void FillPromptInfo(v1::PromptInfo* info);
  void FillPromptLogprobs(v1::PromptLogprobs* message);
  absl::Status StatusOf(const FinishInfo& finish) const;

  const StreamFacts facts_;
  std::vector<ChoiceStream> choices_;

  // Still to be written.
  bool prompt_info_due_ = false;
  std::vector<OutputToken> prompt_logprobs_;
  size_t next_logprob_ = 0;  // into prompt_logprobs_

  bool prompt_computed_ = false;
  uint32_t next_prompt_position_ = 1;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_RESPONSE_BUILDER_H_
