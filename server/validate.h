// What a request may say: checks of each part of a GenerateRequest and their translation into
// engine terms.
//
// Each function returns INVALID_ARGUMENT naming the field (BadRequest), the value and the limit for
// a value out of range, NaN included. An option at its neutral value (n = 1, min_p = 0, a penalty
// of 1 or 0) is like one not given. Nothing is ignored. Pure functions.
#ifndef WINNOW_SERVER_VALIDATE_H_
#define WINNOW_SERVER_VALIDATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "kernels/ops/sample.h"
#include "proto/winnow/v1/generation.pb.h"

namespace winnow {

// What requests are measured against. Constant after start.
struct RequestLimits {
  std::string model_name;
  uint32_t vocab_size = 0;
  bool has_tokenizer = false;
  std::vector<uint32_t> eos_token_ids;
  uint32_t default_max_tokens = 256;
  std::optional<uint32_t> max_tokens_limit;
  std::optional<int64_t> max_prompt_tokens;
  uint32_t max_choices = 16;
  int64_t max_stop_strings = 16;
  int64_t max_logit_bias = 1024;  // entries
  std::optional<int64_t> max_sequence_tokens;
  int64_t max_prompt_logprobs = int64_t{1} << 24;  // prompt tokens * (alternatives + 1)
};

// The request and the messages in it have no field that this server does not know, as a client with
// a newer contract may send: UNIMPLEMENTED naming it, like "sampling.#77", since to ignore it would
// be to answer something else than was asked.
absl::Status ValidateKnownFields(const google::protobuf::Message& request);

// `model` of any request: empty or the served one; NOT_FOUND otherwise.
absl::Status ValidateModel(absl::string_view model, const RequestLimits& limits);

// At most 128 printable ASCII characters: it goes to logs and trailers.
absl::Status ValidateRequestId(absl::string_view request_id);

// The prompt is there and not empty, its ids exist, and there is a tokenizer if it is text.
absl::Status ValidatePrompt(const v1::GenerateRequest& request, const RequestLimits& limits);

// Token ids of any request; `field` is their path.
absl::Status ValidateTokenIds(absl::string_view field,
                              const google::protobuf::RepeatedField<uint32_t>& ids,
                              const RequestLimits& limits);

absl::Status ValidatePriority(int32_t priority);

// `drawn_seed` is taken where the request gives none.
absl::StatusOr<SamplingParams> ValidateSampling(const v1::SamplingOptions& sampling,
                                                uint64_t drawn_seed);

// By ascending token.
absl::StatusOr<std::vector<TokenBias>> ValidateLogitBias(const v1::SamplingOptions& sampling,
                                                         const RequestLimits& limits);

// How many choices are asked for.
absl::StatusOr<uint32_t> ValidateChoices(const v1::SamplingOptions& sampling,
                                         const RequestLimits& limits);

struct StopParams {
  uint32_t max_tokens = 0;
  uint32_t min_tokens = 0;
  std::vector<uint32_t> stop_token_ids;  // end-of-text tokens included, unless ignored; sorted
  std::vector<std::string> stop_texts;
  bool include_stop_text = false;
};
absl::StatusOr<StopParams> ValidateStop(const v1::StopOptions& stop, const RequestLimits& limits);

struct OutputParams {
  std::optional<uint32_t> logprobs;
  std::optional<uint32_t> prompt_logprobs;
  bool token_ids = false;
  bool text = false;
  bool include_special_tokens = false;
  bool state_usage = false;
};
absl::StatusOr<OutputParams> ValidateOutput(const v1::OutputOptions& output,
                                            const RequestLimits& limits);

// What depends on the prompt's length, known after tokenization. Returns max_tokens, lowered to
// what is left of max_sequence_tokens.
absl::StatusOr<uint32_t> ValidateLength(int64_t num_prompt_tokens, uint32_t max_tokens,
                                        const OutputParams& output, const RequestLimits& limits);

}  // namespace winnow

#endif  // WINNOW_SERVER_VALIDATE_H_
