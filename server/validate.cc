#include "server/validate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace winnow {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kMaxStopStringBytes = 1024;
// So the longest that ageing (scheduler/waiting_queue.h) can put a request off is 200 levels.
constexpr int32_t kMaxPriority = 100;

// `inside` must hold for the value; NaN makes every comparison false.
absl::Status CheckFloat(absl::string_view field, float value, bool inside,
                        absl::string_view allowed) {
  if (inside && std::isfinite(value)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("is ", value, "; it must be ", allowed));
}

absl::Status CheckTop(absl::string_view field, uint32_t value) {
  if (value <= kMaxTopLogprobs) return absl::OkStatus();
  return InvalidField(field,
                      absl::StrCat("is ", value, "; it must be from 0 to ", kMaxTopLogprobs));
}

absl::Status CheckTokenId(absl::string_view field, uint32_t id, const RequestLimits& limits) {
  if (id < limits.vocab_size) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("is ", id, "; token ids are below ", limits.vocab_size, " here"));
}

absl::Status CheckStopStrings(const v1::StopOptions& stop, const RequestLimits& limits) {
  if (stop.stop_size() > limits.max_stop_strings) {
    return InvalidField("stop.stop", absl::StrCat("has ", stop.stop_size(), " entries; at most ",
                                                  limits.max_stop_strings, " are allowed here"));
  }
  for (const std::string& text : stop.stop()) {
    if (text.empty()) return InvalidField("stop.stop", "has an empty entry");
    if (text.size() > kMaxStopStringBytes) {
      return InvalidField("stop.stop",
                          absl::StrCat("has an entry of ", text.size(), " bytes; at most ",
                                       kMaxStopStringBytes, " are allowed"));
    }
  }
  if (stop.stop_size() > 0 && !limits.has_tokenizer) return NoTokenizer("a stop string");
  return absl::OkStatus();
}

absl::Status CheckKnownFields(const google::protobuf::Message& message, const std::string& path) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const auto& unknown = reflection.GetUnknownFields(message);
  if (!unknown.empty()) {
    return UnsupportedField(absl::StrCat(path, "#", unknown.field(0).number()));
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    // A map's entries have no fields of their own to extend.
    if (field->cpp_type() != field->CPPTYPE_MESSAGE || field->is_repeated()) continue;
    const absl::Status status = CheckKnownFields(reflection.GetMessage(message, field),
                                                 absl::StrCat(path, field->name(), "."));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateKnownFields(const google::protobuf::Message& request) {
  return CheckKnownFields(request, "");
}

absl::Status ValidateModel(absl::string_view model, const RequestLimits& limits) {
  if (model.empty() || model == limits.model_name) return absl::OkStatus();
  return UnknownModel(model, limits.model_name);
}

absl::Status ValidateRequestId(absl::string_view request_id) {
  if (request_id.size() > kMaxRequestIdBytes) {
    return InvalidField("request_id", absl::StrCat("has ", request_id.size(), " bytes; at most ",
                                                   kMaxRequestIdBytes, " are allowed"));
  }
  const bool printable =
      std::all_of(request_id.begin(), request_id.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!printable) return InvalidField("request_id", "has characters other than printable ASCII");
  return absl::OkStatus();
}

absl::Status ValidateTokenIds(absl::string_view field,
                              const google::protobuf::RepeatedField<uint32_t>& ids,
                              const RequestLimits& limits) {
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] >= limits.vocab_size) {
      return CheckTokenId(absl::StrCat(field, "[", i, "]"), ids[i], limits);
    }
  }
  return absl::OkStatus();
}

absl::Status ValidatePrompt(const v1::GenerateRequest& request, const RequestLimits& limits) {
  switch (request.prompt_case()) {
    case v1::GenerateRequest::kText:
      if (request.text().empty()) return InvalidField("text", "is empty");
      return limits.has_tokenizer ? absl::OkStatus() : NoTokenizer("a text prompt");
    case v1::GenerateRequest::kTokenIds:
      if (request.token_ids().ids().empty()) return InvalidField("token_ids.ids", "is empty");
      return ValidateTokenIds("token_ids.ids", request.token_ids().ids(), limits);
    case v1::GenerateRequest::PROMPT_NOT_SET:
      break;
  }
  return InvalidField("prompt", "is missing: give text or token_ids");
}

absl::Status ValidatePriority(int32_t priority) {
  if (-kMaxPriority <= priority && priority <= kMaxPriority) return absl::OkStatus();
  return InvalidField("priority", absl::StrCat("is ", priority, "; it must be from ", -kMaxPriority,
                                               " to ", kMaxPriority));
}

absl::StatusOr<SamplingParams> ValidateSampling(const v1::SamplingOptions& sampling,
                                                uint64_t drawn_seed) {
  SamplingParams params;
  const auto take = [](bool given, float value, float* param) {
    if (given) *param = value;
    return *param;
  };
  const float temperature =
      take(sampling.has_temperature(), sampling.temperature(), &params.temperature);
  const float top_p = take(sampling.has_top_p(), sampling.top_p(), &params.top_p);
  const float min_p = take(sampling.has_min_p(), sampling.min_p(), &params.min_p);
  const float repetition = take(sampling.has_repetition_penalty(), sampling.repetition_penalty(),
                                &params.repetition_penalty);
  const float frequency = take(sampling.has_frequency_penalty(), sampling.frequency_penalty(),
                               &params.frequency_penalty);
  const float presence =
      take(sampling.has_presence_penalty(), sampling.presence_penalty(), &params.presence_penalty);
  params.top_k = sampling.top_k();  // 0 is off
  params.seed = sampling.has_seed() ? sampling.seed() : drawn_seed;
  for (const absl::Status& status :
       {CheckFloat("sampling.temperature", temperature, temperature >= 0, "0 or more"),
        CheckFloat("sampling.top_p", top_p, top_p > 0 && top_p <= 1, "in (0, 1]"),
        CheckFloat("sampling.min_p", min_p, min_p >= 0 && min_p <= 1, "in [0, 1]"),
        CheckFloat("sampling.repetition_penalty", repetition, repetition > 0, "above 0"),
        CheckFloat("sampling.frequency_penalty", frequency, frequency >= -2 && frequency <= 2,
                   "in [-2, 2]"),
        CheckFloat("sampling.presence_penalty", presence, presence >= -2 && presence <= 2,
                   "in [-2, 2]")}) {
    if (!status.ok()) return status;
  }
  return params;
}

absl::StatusOr<std::vector<TokenBias>> ValidateLogitBias(const v1::SamplingOptions& sampling,
                                                         const RequestLimits& limits) {
  constexpr char kField[] = "sampling.logit_bias";
  const int64_t num_entries = static_cast<int64_t>(sampling.logit_bias().size());
  if (num_entries > limits.max_logit_bias) {
    return InvalidField(kField, absl::StrCat("has ", num_entries, " entries; at most ",
                                             limits.max_logit_bias, " are allowed here"));
  }
  std::vector<TokenBias> biases;
  for (const auto& [id, bias] : sampling.logit_bias()) {
    absl::Status status = CheckTokenId(kField, id, limits);
    status.Update(CheckFloat(kField, bias, true, "finite"));
    if (!status.ok()) return status;
    biases.push_back({.token = id, .bias = bias});
  }
  std::sort(biases.begin(), biases.end(),
            [](const TokenBias& a, const TokenBias& b) { return a.token < b.token; });
  return biases;
}

absl::StatusOr<uint32_t> ValidateChoices(const v1::SamplingOptions& sampling,
                                         const RequestLimits& limits) {
  const uint32_t n = sampling.has_n() ? sampling.n() : 1;
  if (1 <= n && n <= limits.max_choices) return n;
  return InvalidField(
      "sampling.n", absl::StrCat("is ", n, "; it must be from 1 to ", limits.max_choices, " here"));
}

absl::StatusOr<StopParams> ValidateStop(const v1::StopOptions& stop, const RequestLimits& limits) {
  StopParams params;
  params.max_tokens = stop.has_max_tokens() ? stop.max_tokens() : limits.default_max_tokens;
  params.min_tokens = stop.min_tokens();
  if (limits.max_tokens_limit.has_value() && params.max_tokens > *limits.max_tokens_limit) {
    return InvalidField("stop.max_tokens",
                        absl::StrCat("is ", params.max_tokens, "; at most ",
                                     *limits.max_tokens_limit, " are allowed here"));
  }
  if (params.min_tokens > params.max_tokens) {
    return InvalidField("stop.min_tokens",
                        absl::StrCat("is ", params.min_tokens,
                                     "; it must not be above max_tokens, ", params.max_tokens));
  }
  absl::Status status = ValidateTokenIds("stop.stop_token_ids", stop.stop_token_ids(), limits);
  status.Update(CheckStopStrings(stop, limits));
  if (!status.ok()) return status;
  std::vector<uint32_t>& ids = params.stop_token_ids;
  ids.assign(stop.stop_token_ids().begin(), stop.stop_token_ids().end());
  if (!stop.ignore_eos()) {
    ids.insert(ids.end(), limits.eos_token_ids.begin(), limits.eos_token_ids.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  params.stop_texts.assign(stop.stop().begin(), stop.stop().end());
  params.include_stop_text = stop.include_stop_text();
  return params;
}

absl::StatusOr<OutputParams> ValidateOutput(const v1::OutputOptions& output,
                                            const RequestLimits& limits) {
  OutputParams params;
  if (output.has_logprobs()) params.logprobs = output.logprobs();
  if (output.has_prompt_logprobs()) params.prompt_logprobs = output.prompt_logprobs();
  for (const absl::Status& status :
       {CheckTop("output.logprobs", output.logprobs()),
        CheckTop("output.prompt_logprobs", output.prompt_logprobs())}) {
    if (!status.ok()) return status;
  }
  params.token_ids = output.token_ids();
  params.text = !output.skip_text();
  params.include_special_tokens = output.include_special_tokens();
  params.state_usage = output.state_usage();
  if (params.text && !limits.has_tokenizer) {
    return NoTokenizer("text output (set output.skip_text to go without)");
  }
  return params;
}

absl::StatusOr<uint32_t> ValidateLength(int64_t num_prompt_tokens, uint32_t max_tokens,
                                        const OutputParams& output, const RequestLimits& limits) {
  if (num_prompt_tokens > limits.max_prompt_tokens.value_or(num_prompt_tokens)) {
    return InvalidField("prompt", absl::StrCat("has ", num_prompt_tokens, " tokens; at most ",
                                               *limits.max_prompt_tokens, " are allowed here"));
  }
  if (output.prompt_logprobs.has_value()) {
    const int64_t values = num_prompt_tokens * (int64_t{*output.prompt_logprobs} + 1);
    if (values > limits.max_prompt_logprobs) {
      return InvalidField("output.prompt_logprobs",
                          absl::StrCat("makes ", values,
                                       " values (prompt tokens times "
                                       "alternatives + 1); at most ",
                                       limits.max_prompt_logprobs, " are allowed here"));
    }
  }
  if (!limits.max_sequence_tokens.has_value()) return max_tokens;
  const int64_t room = *limits.max_sequence_tokens - num_prompt_tokens;
  if (room < 0 || (room == 0 && max_tokens > 0)) {
    return InvalidField("prompt", absl::StrCat("has ", num_prompt_tokens,
                                               " tokens; sequences have "
                                               "at most ",
                                               *limits.max_sequence_tokens,
                                               " here, "
                                               "output included"));
  }
  return static_cast<uint32_t>(std::min<int64_t>(max_tokens, room));
}

}  // namespace winnow
