#include "tests/soak/random_request.h"

#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>

namespace winnow::soak {
namespace {

constexpr int kVocabSize = 1024;  // of the demo model
constexpr int kMaxPrompt = 600;
constexpr int kMaxTokens = 64;
constexpr uint32_t kEndless = 1'000'000'000;

const char* const kWords[] = {"the",   "code",  "of",   "amber", "falcon", "is",
                              "7",     "42",    "what", "?",     "\n",     "and",
                              "naïve", "Größe", "雪",   "🦊",  ".",      "0193",
                              "a b",   "Ωmega", "<",    "\t",    "end",    "Question:"};
const char* const kStops[] = {"a", "e ", ". ", "\n\n", "the", "code of the", "é", "🦊", "zzzz"};

template <typename Array>
const char* Any(const Array& texts, Random& random) {
  return texts[random.Int(0, static_cast<int>(std::size(texts)) - 1)];
}

uint32_t AnyToken(Random& random) { return static_cast<uint32_t>(random.Int(0, kVocabSize - 1)); }

void DrawPrompt(Random& random, v1::GenerateRequest* request) {
  const int length = random.Int(1, kMaxPrompt);
  if (random.Percent(50)) {
    for (int i = 0; i < length; ++i) request->mutable_token_ids()->add_ids(AnyToken(random));
    return;
  }
  std::string* text = request->mutable_text();
  for (int i = 0; i < length; ++i) text->append(i == 0 ? "" : " ").append(Any(kWords, random));
}

void DrawSampling(Random& random, v1::SamplingOptions* sampling) {
  if (random.Percent(60)) sampling->set_temperature(random.Percent(30) ? 0 : random.Float(0, 2));
  if (random.Percent(30)) sampling->set_top_k(random.Int(0, 100));
  if (random.Percent(30)) sampling->set_top_p(random.Float(0.01f, 1));
  if (random.Percent(30)) sampling->set_min_p(random.Float(0, 1));
  if (random.Percent(20)) sampling->set_repetition_penalty(random.Float(0.5f, 2));
  if (random.Percent(20)) sampling->set_frequency_penalty(random.Float(-2, 2));
  if (random.Percent(20)) sampling->set_presence_penalty(random.Float(-2, 2));
  if (random.Percent(50)) sampling->set_seed(random.Bits());
  if (random.Percent(40)) sampling->set_n(random.Int(1, 4));
  if (!random.Percent(20)) return;
  for (int i = random.Int(1, 8); i > 0; --i) {
    (*sampling->mutable_logit_bias())[AnyToken(random)] = random.Float(-100, 100);
  }
}

void DrawStop(Random& random, v1::StopOptions* stop) {
  stop->set_max_tokens(random.Int(0, kMaxTokens));
  if (random.Percent(20)) stop->set_min_tokens(random.Int(0, stop->max_tokens()));
  if (random.Percent(30)) {
    for (int i = random.Int(1, 4); i > 0; --i) stop->add_stop(Any(kStops, random));
  }
  if (random.Percent(20)) {
    for (int i = random.Int(1, 4); i > 0; --i) stop->add_stop_token_ids(AnyToken(random));
  }
  stop->set_ignore_eos(random.Percent(50));
  stop->set_include_stop_text(random.Percent(30));
}

void DrawOutput(Random& random, v1::OutputOptions* output) {
  if (random.Percent(30)) output->set_logprobs(random.Int(0, 20));
  if (random.Percent(15)) output->set_prompt_logprobs(random.Int(0, 20));
  output->set_token_ids(random.Percent(50));
  output->set_skip_text(random.Percent(20));
  output->set_include_special_tokens(random.Percent(20));
  output->set_state_usage(random.Percent(20));
}

// ---- Malformed ones: each takes a valid request and spoils one thing. ----

using Spoil = void (*)(v1::GenerateRequest* request);

const Spoil kInvalid[] = {
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_temperature(-1); },
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_temperature(std::nanf("")); },
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_top_p(0); },
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_min_p(1.5f); },
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_repetition_penalty(0); },
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_frequency_penalty(-3); },
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_n(0); },
    [](v1::GenerateRequest* r) { r->mutable_sampling()->set_n(4'000'000'000); },
    [](v1::GenerateRequest* r) { (*r->mutable_sampling()->mutable_logit_bias())[kVocabSize] = 1; },
    [](v1::GenerateRequest* r) {
      (*r->mutable_sampling()->mutable_logit_bias())[1] = std::numeric_limits<float>::infinity();
    },
    [](v1::GenerateRequest* r) { r->set_text(""); },
    [](v1::GenerateRequest* r) { r->mutable_token_ids()->clear_ids(); },
    [](v1::GenerateRequest* r) { r->clear_prompt(); },
    [](v1::GenerateRequest* r) { r->mutable_token_ids()->add_ids(kVocabSize); },
    [](v1::GenerateRequest* r) { r->mutable_token_ids()->add_ids(4'294'967'295); },
    [](v1::GenerateRequest* r) { r->mutable_stop()->set_min_tokens(kMaxTokens + 1); },
    [](v1::GenerateRequest* r) { r->mutable_stop()->add_stop(""); },
    [](v1::GenerateRequest* r) { r->mutable_stop()->add_stop(std::string(5000, 'x')); },
    [](v1::GenerateRequest* r) { r->mutable_stop()->add_stop_token_ids(kVocabSize); },
    [](v1::GenerateRequest* r) { r->mutable_output()->set_logprobs(21); },
    [](v1::GenerateRequest* r) { r->set_priority(1'000'000); },
    [](v1::GenerateRequest* r) { r->set_request_id("two\nlines"); },
};

// Bytes that are no message: the first tag has a wire type that does not exist.
std::string Garbage(Random& random) {
  std::string bytes(static_cast<size_t>(random.Int(1, 2000)), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Bits());
  bytes[0] = 0x0f;
  return bytes;
}

}  // namespace

v1::GenerateRequest RandomRequest(Random& random) {
  v1::GenerateRequest request;
  DrawPrompt(random, &request);
  DrawSampling(random, request.mutable_sampling());
  DrawStop(random, request.mutable_stop());
  DrawOutput(random, request.mutable_output());
  if (random.Percent(30)) request.set_priority(random.Int(-3, 3));
  return request;
}

void MakeEndless(v1::GenerateRequest* request) {
  request->mutable_stop()->Clear();
  request->mutable_stop()->set_max_tokens(kEndless);
  request->mutable_stop()->set_ignore_eos(true);
}

MalformedRequest RandomMalformedRequest(Random& random) {
  v1::GenerateRequest request = RandomRequest(random);
  switch (random.Int(0, 4)) {
    case 0:  // gRPC itself answers what it cannot parse
      return {.bytes = Garbage(random), .refusal = grpc::StatusCode::UNIMPLEMENTED};
    case 1:  // field 1000, a varint
      return {.bytes = request.SerializeAsString() + "\xc0\x3e\x01",
              .refusal = grpc::StatusCode::UNIMPLEMENTED};
    case 2:
      request.set_model("no-such-model");
      return {.bytes = request.SerializeAsString(), .refusal = grpc::StatusCode::NOT_FOUND};
    default:
      kInvalid[random.Int(0, static_cast<int>(std::size(kInvalid)) - 1)](&request);
      return {.bytes = request.SerializeAsString()};
  }
}

}  // namespace winnow::soak
