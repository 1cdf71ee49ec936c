#include "server/validate.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/google/rpc/error_details.pb.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

RequestLimits Limits() {
  RequestLimits limits;
  limits.model_name = "demo";
  limits.vocab_size = 100;
  limits.has_tokenizer = true;
  limits.eos_token_ids = {2, 5};
  limits.default_max_tokens = 32;
  return limits;
}

// All parts of a request that do not depend on tokenization.
absl::Status Validate(const v1::GenerateRequest& request, const RequestLimits& limits) {
  for (const absl::Status& status :
       {ValidateModel(request.model(), limits), ValidateRequestId(request.request_id()),
        ValidatePriority(request.priority()), ValidatePrompt(request, limits),
        ValidateSampling(request.sampling(), 1).status(),
        ValidateLogitBias(request.sampling(), limits).status(),
        ValidateChoices(request.sampling(), limits).status(),
        ValidateStop(request.stop(), limits).status(),
        ValidateOutput(request.output(), limits).status()}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

v1::GenerateRequest Good() {
  v1::GenerateRequest request;
  request.set_text("hello");
  return request;
}

std::string ViolatedField(const absl::Status& status) {
  google::rpc::BadRequest detail;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  if (!payload.has_value() || !detail.ParseFromString(std::string(*payload))) return "none";
  return detail.field_violations(0).field();
}

using Edit = std::function<void(v1::GenerateRequest&)>;
struct Case {
  const char* field;
  Edit edit;
};

TEST(ValidateTest, BadValuesNameTheirField) {
  const Case cases[] = {
      {"prompt", [](auto& r) { r.clear_text(); }},
      {"text", [](auto& r) { r.set_text(""); }},
      {"token_ids.ids", [](auto& r) { r.mutable_token_ids(); }},
      {"token_ids.ids[1]",
       [](auto& r) {
         r.mutable_token_ids()->add_ids(99);
         r.mutable_token_ids()->add_ids(100);
       }},
      {"sampling.temperature", [](auto& r) { r.mutable_sampling()->set_temperature(-0.1f); }},
      {"sampling.temperature", [](auto& r) { r.mutable_sampling()->set_temperature(kNan); }},
      {"sampling.temperature", [](auto& r) { r.mutable_sampling()->set_temperature(kInf); }},
      {"sampling.top_p", [](auto& r) { r.mutable_sampling()->set_top_p(0); }},
      {"sampling.top_p", [](auto& r) { r.mutable_sampling()->set_top_p(1.1f); }},
      {"sampling.top_p", [](auto& r) { r.mutable_sampling()->set_top_p(kNan); }},
      {"sampling.min_p", [](auto& r) { r.mutable_sampling()->set_min_p(1.1f); }},
      {"sampling.min_p", [](auto& r) { r.mutable_sampling()->set_min_p(kNan); }},
      {"sampling.repetition_penalty",
       [](auto& r) { r.mutable_sampling()->set_repetition_penalty(0); }},
      {"sampling.repetition_penalty",
       [](auto& r) { r.mutable_sampling()->set_repetition_penalty(kInf); }},
      {"sampling.frequency_penalty",
       [](auto& r) { r.mutable_sampling()->set_frequency_penalty(-2.1f); }},
      {"sampling.presence_penalty",
       [](auto& r) { r.mutable_sampling()->set_presence_penalty(kNan); }},
      {"sampling.n", [](auto& r) { r.mutable_sampling()->set_n(0); }},
      {"sampling.n", [](auto& r) { r.mutable_sampling()->set_n(17); }},
      {"sampling.logit_bias",
       [](auto& r) { (*r.mutable_sampling()->mutable_logit_bias())[100] = 1; }},
      {"sampling.logit_bias",
       [](auto& r) { (*r.mutable_sampling()->mutable_logit_bias())[1] = kNan; }},
      {"stop.stop_token_ids[0]", [](auto& r) { r.mutable_stop()->add_stop_token_ids(100); }},
      {"stop.stop",
       [](auto& r) {
         for (int i = 0; i < 17; ++i) r.mutable_stop()->add_stop("x");
       }},
      {"stop.stop", [](auto& r) { r.mutable_stop()->add_stop(""); }},
      {"stop.stop", [](auto& r) { r.mutable_stop()->add_stop(std::string(1025, 'x')); }},
      {"stop.min_tokens", [](auto& r) { r.mutable_stop()->set_min_tokens(33); }},
      {"priority", [](auto& r) { r.set_priority(101); }},
      {"priority", [](auto& r) { r.set_priority(-101); }},
      {"output.logprobs", [](auto& r) { r.mutable_output()->set_logprobs(21); }},
      {"output.prompt_logprobs", [](auto& r) { r.mutable_output()->set_prompt_logprobs(21); }},
      {"request_id", [](auto& r) { r.set_request_id(std::string(129, 'a')); }},
      {"request_id", [](auto& r) { r.set_request_id("two\nlines"); }},
  };
  for (const Case& c : cases) {
    v1::GenerateRequest request = Good();
    c.edit(request);
    const absl::Status status = Validate(request, Limits());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.field << ": " << status;
    EXPECT_EQ(ViolatedField(status), c.field) << status;
  }
}

TEST(ValidateTest, EveryOptionTogether) {
  v1::GenerateRequest request = Good();
  v1::SamplingOptions& sampling = *request.mutable_sampling();
  sampling.set_min_p(0.1f);
  sampling.set_repetition_penalty(1.1f);
  sampling.set_frequency_penalty(0.5f);
  sampling.set_presence_penalty(-2);
  sampling.set_n(3);
  (*sampling.mutable_logit_bias())[9] = 0.5f;
  (*sampling.mutable_logit_bias())[1] = -100;
  v1::StopOptions& stop = *request.mutable_stop();
  stop.add_stop("\n");
  stop.set_min_tokens(32);
  stop.set_include_stop_text(true);
  EXPECT_EQ(Validate(request, Limits()), absl::OkStatus());

  const SamplingParams params = ValidateSampling(sampling, 7).value();
  EXPECT_EQ(params.min_p, 0.1f);
  EXPECT_EQ(params.repetition_penalty, 1.1f);
  EXPECT_EQ(params.frequency_penalty, 0.5f);
  EXPECT_EQ(params.presence_penalty, -2);
  EXPECT_EQ(ValidateChoices(sampling, Limits()).value(), 3u);
  const std::vector<TokenBias> biases = ValidateLogitBias(sampling, Limits()).value();
  ASSERT_EQ(biases.size(), 2u);
  EXPECT_EQ(biases[0].token, 1u);
  EXPECT_EQ(biases[0].bias, -100);
  EXPECT_EQ(biases[1].token, 9u);
  const StopParams stops = ValidateStop(stop, Limits()).value();
  EXPECT_EQ(stops.min_tokens, 32u);
  EXPECT_THAT(stops.stop_texts, ElementsAre("\n"));
  EXPECT_TRUE(stops.include_stop_text);
}

// The message tells the value and the limit.
TEST(ValidateTest, LimitsOfThisServer) {
  RequestLimits limits = Limits();
  limits.max_choices = 2;
  limits.max_stop_strings = 1;
  limits.max_logit_bias = 1;
  limits.max_prompt_tokens = 9;
  v1::SamplingOptions sampling;
  sampling.set_n(3);
  EXPECT_THAT(std::string(ValidateChoices(sampling, limits).status().message()),
              HasSubstr("is 3; it must be from 1 to 2"));
  (*sampling.mutable_logit_bias())[1] = 1;
  EXPECT_TRUE(ValidateLogitBias(sampling, limits).ok());
  (*sampling.mutable_logit_bias())[2] = 1;
  EXPECT_THAT(std::string(ValidateLogitBias(sampling, limits).status().message()),
              HasSubstr("has 2 entries; at most 1"));
  v1::StopOptions stop;
  stop.add_stop("a");
  EXPECT_TRUE(ValidateStop(stop, limits).ok());
  stop.add_stop("b");
  EXPECT_THAT(std::string(ValidateStop(stop, limits).status().message()),
              HasSubstr("has 2 entries; at most 1"));
  EXPECT_TRUE(ValidateLength(9, 5, {}, limits).ok());
  const absl::Status status = ValidateLength(10, 5, {}, limits).status();
  EXPECT_EQ(ViolatedField(status), "prompt");
  EXPECT_THAT(std::string(status.message()), HasSubstr("has 10 tokens; at most 9"));
}

TEST(ValidateTest, NeutralValuesAreLikeNone) {
  v1::GenerateRequest request = Good();
  v1::SamplingOptions* sampling = request.mutable_sampling();
  sampling->set_min_p(0);
  sampling->set_repetition_penalty(1);
  sampling->set_frequency_penalty(0);
  sampling->set_presence_penalty(0);
  sampling->set_n(1);
  sampling->set_top_k(0);
  sampling->set_top_p(1);
  request.mutable_stop()->set_min_tokens(0);
  EXPECT_EQ(Validate(request, Limits()), absl::OkStatus());
}

TEST(ValidateTest, ModelByNameOrNone) {
  EXPECT_TRUE(ValidateModel("", Limits()).ok());
  EXPECT_TRUE(ValidateModel("demo", Limits()).ok());
  EXPECT_EQ(ValidateModel("Demo", Limits()).code(), absl::StatusCode::kNotFound);
}

TEST(ValidateTest, SamplingDefaultsAndValues) {
  const SamplingParams defaults = ValidateSampling({}, 77).value();
  EXPECT_EQ(defaults.temperature, 1);
  EXPECT_EQ(defaults.top_k, 0u);
  EXPECT_EQ(defaults.top_p, 1);
  EXPECT_EQ(defaults.seed, 77u);
  v1::SamplingOptions options;
  options.set_temperature(0);
  options.set_top_k(40);
  options.set_top_p(0.5f);
  options.set_seed(0);
  const SamplingParams params = ValidateSampling(options, 77).value();
  EXPECT_EQ(params.temperature, 0);
  EXPECT_EQ(params.top_k, 40u);
  EXPECT_EQ(params.top_p, 0.5f);
  EXPECT_EQ(params.seed, 0u);
}

TEST(ValidateTest, StopTokensIncludeEndOfTextUnlessIgnored) {
  v1::StopOptions options;
  options.add_stop_token_ids(9);
  options.add_stop_token_ids(2);
  EXPECT_THAT(ValidateStop(options, Limits())->stop_token_ids, ElementsAre(2, 5, 9));
  options.set_ignore_eos(true);
  EXPECT_THAT(ValidateStop(options, Limits())->stop_token_ids, ElementsAre(2, 9));
}

TEST(ValidateTest, MaxTokensDefaultZeroAndLimit) {
  RequestLimits limits = Limits();
  v1::StopOptions options;
  EXPECT_EQ(ValidateStop(options, limits)->max_tokens, 32u);
  options.set_max_tokens(0);
  EXPECT_EQ(ValidateStop(options, limits)->max_tokens, 0u);
  limits.max_tokens_limit = 100;
  options.set_max_tokens(100);
  EXPECT_EQ(ValidateStop(options, limits)->max_tokens, 100u);
  options.set_max_tokens(101);
  EXPECT_EQ(ViolatedField(ValidateStop(options, limits).status()), "stop.max_tokens");
}

TEST(ValidateTest, WithoutTokenizerTextIsRefused) {
  RequestLimits limits = Limits();
  limits.has_tokenizer = false;
  v1::GenerateRequest request = Good();
  EXPECT_EQ(ValidatePrompt(request, limits).code(), absl::StatusCode::kFailedPrecondition);
  request.mutable_token_ids()->add_ids(1);
  EXPECT_TRUE(ValidatePrompt(request, limits).ok());
  EXPECT_EQ(ValidateOutput({}, limits).status().code(), absl::StatusCode::kFailedPrecondition);
  v1::OutputOptions output;
  output.set_skip_text(true);
  EXPECT_FALSE(ValidateOutput(output, limits)->text);
  v1::StopOptions stop;
  stop.add_stop("x");
  EXPECT_EQ(ValidateStop(stop, limits).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(ValidateTest, LengthLimits) {
  RequestLimits limits = Limits();
  EXPECT_EQ(ValidateLength(1'000'000, 5, {}, limits).value(), 5u);
  limits.max_sequence_tokens = 100;
  EXPECT_EQ(ValidateLength(60, 30, {}, limits).value(), 30u);
  EXPECT_EQ(ValidateLength(60, 50, {}, limits).value(), 40u) << "ends with LENGTH at the limit";
  EXPECT_EQ(ValidateLength(100, 0, {}, limits).value(), 0u);
  EXPECT_EQ(ViolatedField(ValidateLength(100, 1, {}, limits).status()), "prompt");
  EXPECT_EQ(ViolatedField(ValidateLength(101, 0, {}, limits).status()), "prompt");
}

TEST(ValidateTest, PromptLogprobsAreBounded) {
  RequestLimits limits = Limits();
  limits.max_prompt_logprobs = 210;
  OutputParams output;
  output.prompt_logprobs = 20;
  EXPECT_TRUE(ValidateLength(10, 5, output, limits).ok());
  const absl::Status status = ValidateLength(11, 5, output, limits).status();
  EXPECT_EQ(ViolatedField(status), "output.prompt_logprobs");
  EXPECT_THAT(std::string(status.message()), HasSubstr("231"));
}

}  // namespace
}  // namespace winnow
