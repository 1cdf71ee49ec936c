#include "server/validate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace winnow {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;
constexpr uint32_t kMaxChoices = 16;
constexpr int kMaxStopStrings = 16;

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

// A valid value that differs from the neutral one asks for something that is not here.
absl::Status CheckNeutral(absl::string_view field, bool neutral) {
  return neutral ? absl::OkStatus() : UnsupportedField(field);
}

absl::Status CheckMinP(const v1::SamplingOptions& sampling) {
  if (!sampling.has_min_p()) return absl::OkStatus();
  const float value = sampling.min_p();
  const absl::Status range =
      CheckFloat("sampling.min_p", value, value >= 0 && value <= 1, "in [0, 1]");
  return range.ok() ? CheckNeutral("sampling.min_p", value == 0) : range;
}

absl::Status CheckRepetitionPenalty(const v1::SamplingOptions& sampling) {
  if (!sampling.has_repetition_penalty()) return absl::OkStatus();
  constexpr char kField[] = "sampling.repetition_penalty";
  const float value = sampling.repetition_penalty();
  const absl::Status range = CheckFloat(kField, value, value > 0, "above 0");
  return range.ok() ? CheckNeutral(kField, value == 1) : range;
}

absl::Status CheckPenalty(absl::string_view field, bool given, float value) {
  if (!given) return absl::OkStatus();
  const absl::Status range = CheckFloat(field, value, value >= -2 && value <= 2, "in [-2, 2]");
  return range.ok() ? CheckNeutral(field, value == 0) : range;
}

absl::Status CheckChoices(const v1::SamplingOptions& sampling) {
  if (!sampling.has_n()) return absl::OkStatus();
  if (sampling.n() < 1 || sampling.n() > kMaxChoices) {
    return InvalidField("sampling.n",
                        absl::StrCat("is ", sampling.n(), "; it must be from 1 to ", kMaxChoices));
  }
  return CheckNeutral("sampling.n", sampling.n() == 1);
}

absl::Status CheckLogitBias(const v1::SamplingOptions& sampling, const RequestLimits& limits) {
  for (const auto& [id, bias] : sampling.logit_bias()) {
    if (absl::Status status = CheckTokenId("sampling.logit_bias", id, limits); !status.ok()) {
      return status;
    }
    const absl::Status finite = CheckFloat("sampling.logit_bias", bias, true, "finite");
    if (!finite.ok()) return finite;
  }
  return CheckNeutral("sampling.logit_bias", sampling.logit_bias().empty());
}

absl::Status CheckUnsupportedSampling(const v1::SamplingOptions& sampling,
                                      const RequestLimits& limits) {
  for (const absl::Status& status :
       {CheckMinP(sampling), CheckRepetitionPenalty(sampling),
        CheckPenalty("sampling.frequency_penalty", sampling.has_frequency_penalty(),
                     sampling.frequency_penalty()),
        CheckPenalty("sampling.presence_penalty", sampling.has_presence_penalty(),
                     sampling.presence_penalty()),
        CheckChoices(sampling), CheckLogitBias(sampling, limits)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckUnsupportedStop(const v1::StopOptions& stop) {
  if (stop.stop_size() > kMaxStopStrings) {
    return InvalidField("stop.stop", absl::StrCat("has ", stop.stop_size(), " entries; at most ",
                                                  kMaxStopStrings, " are allowed"));
  }
  for (const std::string& text : stop.stop()) {
    if (text.empty()) return InvalidField("stop.stop", "has an empty entry");
  }
  if (absl::Status status = CheckNeutral("stop.stop", stop.stop_size() == 0); !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckNeutral("stop.min_tokens", stop.min_tokens() == 0); !status.ok()) {
    return status;
  }
  return CheckNeutral("stop.include_stop_text", !stop.include_stop_text());
}

}  // namespace

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

absl::StatusOr<SamplingParams> ValidateSampling(const v1::SamplingOptions& sampling,
                                                uint64_t drawn_seed, const RequestLimits& limits) {
  SamplingParams params;
  if (sampling.has_temperature()) params.temperature = sampling.temperature();
  if (sampling.has_top_p()) params.top_p = sampling.top_p();
  params.top_k = sampling.top_k();  // 0 is off
  params.seed = sampling.has_seed() ? sampling.seed() : drawn_seed;
  for (const absl::Status& status : {CheckFloat("sampling.temperature", params.temperature,
                                                params.temperature >= 0, "0 or more"),
                                     CheckFloat("sampling.top_p", params.top_p,
                                                params.top_p > 0 && params.top_p <= 1, "in (0, 1]"),
                                     CheckUnsupportedSampling(sampling, limits)}) {
    if (!status.ok()) return status;
  }
  return params;
}

absl::StatusOr<StopParams> ValidateStop(const v1::StopOptions& stop, const RequestLimits& limits) {
  StopParams params;
  params.max_tokens = stop.has_max_tokens() ? stop.max_tokens() : limits.default_max_tokens;
  if (limits.max_tokens_limit.has_value() && params.max_tokens > *limits.max_tokens_limit) {
    return InvalidField("stop.max_tokens",
                        absl::StrCat("is ", params.max_tokens, "; at most ",
                                     *limits.max_tokens_limit, " are allowed here"));
  }
  if (absl::Status status = ValidateTokenIds("stop.stop_token_ids", stop.stop_token_ids(), limits);
      !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckUnsupportedStop(stop); !status.ok()) return status;
  std::vector<uint32_t>& ids = params.stop_token_ids;
  ids.assign(stop.stop_token_ids().begin(), stop.stop_token_ids().end());
  if (!stop.ignore_eos()) {
    ids.insert(ids.end(), limits.eos_token_ids.begin(), limits.eos_token_ids.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
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
