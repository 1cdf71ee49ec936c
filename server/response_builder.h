// ResponseBuilder: turns what the engine produced for one request into the messages of its stream.
//
//   builder.Add(buffer.Take());
//   while (!builder.empty()) write(builder.Next());       // builder.ended() tells that this was
//   the last one
//
// Order: PromptInfo, PromptLogprobs, Deltas, Finish; no message is larger than about 1 MiB. A
// request that ends before its prompt was computed has no message at all, only a status. Owned by
// one stream, not thread-safe.
#ifndef WINNOW_SERVER_RESPONSE_BUILDER_H_
#define WINNOW_SERVER_RESPONSE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/tokenizer/detokenizer.h"
#include "proto/winnow/v1/generation.pb.h"
#include "server/output_buffer.h"
#include "server/validate.h"

namespace winnow {

// The (layer, kv head) of each kept list of the model, in the order of FinishInfo::kept_counts.
struct KeptHead {
  uint32_t layer = 0;
  uint32_t kv_head = 0;
};

// What stays the same over a stream.
struct StreamFacts {
  std::string request_id;
  std::string model;
  uint32_t num_prompt_tokens = 0;
  uint64_t seed = 0;
  OutputParams output;
  const std::vector<KeptHead>* kept_heads = nullptr;  // outlives the stream
};

class ResponseBuilder {
 public:
  // `tokenizer` outlives this; null if no text is wanted.
  ResponseBuilder(StreamFacts facts, const Tokenizer* tokenizer);

  // REQUIRES: empty() and not ended().
  void Add(PendingOutput output);

  // Nothing to write now.
  bool empty() const;
  // Fills the next message. REQUIRES: not empty().
  void Next(v1::GenerateResponse* message);

  // The engine has finished the request; once empty() too, the stream ends with status().
  bool ended() const { return finish_.has_value(); }
  // REQUIRES: ended().
  absl::Status status() const;

  // For the log.
  const std::optional<FinishInfo>& finish() const { return finish_; }

 private:
  bool HasPromptLogprobs() const { return next_logprob_ < prompt_logprobs_.size(); }
  bool HasDelta() const { return next_token_ < tokens_.size() || !tail_.empty(); }

  void FillPromptInfo(v1::PromptInfo* info);
  void FillPromptLogprobs(v1::PromptLogprobs* message);
  void FillDelta(v1::Delta* delta);
  void AddToken(const OutputToken& token, v1::Delta* delta);
  void FillFinish(v1::Finish* message) const;
  void FillKept(v1::Finish* message) const;

  const StreamFacts facts_;
  std::optional<IncrementalDetokenizer> detokenizer_;  // none: no text

  // Still to be written.
  bool prompt_info_due_ = false;
  std::vector<OutputToken> prompt_logprobs_;
  size_t next_logprob_ = 0;  // into prompt_logprobs_
  std::vector<OutputToken> tokens_;
  size_t next_token_ = 0;  // into tokens_
  std::string tail_;       // text that the detokenizer held back to the end, when no token is left
  bool finish_due_ = false;

  bool prompt_computed_ = false;
  uint32_t next_prompt_position_ = 1;
  std::optional<FinishInfo> finish_;
};

}  // namespace winnow

#endif  // WINNOW_SERVER_RESPONSE_BUILDER_H_
