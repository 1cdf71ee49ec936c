// winnow-demo: asks the bundled model for a fact far back in a long text, through a real server.
//
// Starts winnow-server as a child on a free loopback port, makes the text from a seed, asks, shows
// the streamed answer, whether it is right, how long it took, and what the sequence costs in
// memory. Exit codes: 0 right, 1 could not run, 2 wrong answer.
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/child_server.h"
#include "client/count_tokens.h"
#include "client/demo_text.h"
#include "proto/winnow/v1/generation.grpc.pb.h"

namespace winnow {
namespace {

constexpr size_t kHeadBytes = 220;
constexpr int64_t kLongText = 1'000'000;

struct DemoOptions {
  std::string server_binary;
  std::string model;
  uint64_t seed = 2;
  int64_t num_tokens = 8000;
  int num_facts = 8;
  std::vector<std::string> server_flags;
};

// What a run of the question gave.
struct Outcome {
  std::string answer;
  v1::Finish finish;
  absl::Duration time_to_first_token, total;
};

absl::Status FromGrpc(const grpc::Status& status, const char* what) {
  if (status.ok()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, ": ", status.error_message()));
}

std::string WithCommas(int64_t n) {
  std::string digits = absl::StrCat(n);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return digits;
}

std::string Bytes(double n) {
  if (n >= 0x1p30) return absl::StrFormat("%.1f GiB", n / 0x1p30);
  if (n >= 0x1p20) return absl::StrFormat("%.1f MiB", n / 0x1p20);
  return absl::StrFormat("%.0f KiB", n / 0x1p10);
}

absl::StatusOr<v1::GetModelInfoResponse> ModelInfo(v1::GenerationService::Stub& stub) {
  grpc::ClientContext context;
  v1::GetModelInfoResponse info;
  const absl::Status status =
      FromGrpc(stub.GetModelInfo(&context, v1::GetModelInfoRequest(), &info), "GetModelInfo");
  if (!status.ok()) return status;
  return info;
}

// Asks and prints the answer as it streams.
absl::StatusOr<Outcome> Ask(v1::GenerationService::Stub& stub, const DemoText& demo) {
  v1::GenerateRequest request;
  request.set_text(demo.text + demo.question);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stop()->set_max_tokens(7);  // a space, five digits, a full stop
  request.mutable_output()->set_state_usage(true);
  grpc::ClientContext context;
  const absl::Time start = absl::Now();
  auto reader = stub.Generate(&context, request);
  Outcome outcome;
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    if (response.has_delta()) {
      if (outcome.answer.empty()) outcome.time_to_first_token = absl::Now() - start;
      outcome.answer += response.delta().text();
      std::cout << response.delta().text() << std::flush;
    }
    if (response.has_finish()) outcome.finish = response.finish();
  }
  std::cout << "\n";
  outcome.total = absl::Now() - start;
  const absl::Status status = FromGrpc(reader->Finish(), "Generate");
  if (!status.ok()) return status;
  return outcome;
}

void ShowModel(const v1::GetModelInfoResponse& info) {
  const auto count = [&](const char* kind) {
    return std::count(info.layer_kinds().begin(), info.layer_kinds().end(), kind);
  };
  std::cout << absl::StrFormat("model     %s: %.1fM parameters, %d Gated DeltaNet layers",
                               info.name(), info.num_parameters() / 1e6, count("gdn"));
  if (const auto lte = count("lte"); lte > 0) {
    std::cout << absl::StrFormat(
        ", %d attention layers that see %d tokens and keep at most %d older ones per head", lte,
        info.window_tokens() + 1, info.kept_tokens_per_head());
  }
  std::cout << "\n";
}

void ShowQuestion(const DemoText& demo, uint64_t seed) {
  std::cout << "text      " << WithCommas(demo.num_tokens) << " tokens made from seed " << seed
            << ", beginning:\n          " << demo.text.substr(0, demo.text.rfind(' ', kHeadBytes))
            << " ...\n"
            << "fact      \"The code of the " << demo.facts[0].name << " is " << demo.facts[0].code
            << ".\" stands " << WithCommas(demo.num_tokens - demo.facts[0].position)
            << " tokens before the question,\n          among " << demo.facts.size() - 1
            << " other facts like it\n"
            << "question " << demo.question << "\n"
            << "answer   " << std::flush;
}

void ShowTime(const Outcome& outcome, int64_t num_tokens) {
  const v1::Timing& timing = outcome.finish.timing();
  std::cout << absl::StrFormat(
      "time      %.2f s: prompt %.2f s (%s tokens/s), first token after %.2f s, answer %.3f s\n",
      absl::ToDoubleSeconds(outcome.total), timing.prefill_seconds(),
      WithCommas(static_cast<int64_t>(num_tokens / std::max(timing.prefill_seconds(), 1e-9))),
      absl::ToDoubleSeconds(outcome.time_to_first_token), timing.decode_seconds());
}

void ShowMemory(const v1::GetModelInfoResponse& info, const Outcome& outcome, int64_t num_tokens) {
  const double most =
      info.slot_bytes_per_sequence() + 1.0 * info.max_pages_per_sequence() * info.page_bytes();
  std::cout << "state     at most " << Bytes(most) << " for this sequence, at any length\n";
  std::cout << "kept      tokens per head:";
  for (const v1::LayerKept& kept : outcome.finish.kept()) {
    std::cout << "  layer " << kept.layer() << ": " << absl::StrJoin(kept.kept_tokens(), " ");
  }
  std::cout << "\n          a full key/value cache of the same attention layers would take "
            << Bytes(1.0 * info.kv_bytes_per_token() * num_tokens) << " at "
            << WithCommas(num_tokens) << " tokens, "
            << Bytes(1.0 * info.kv_bytes_per_token() * kLongText) << " at " << WithCommas(kLongText)
            << "\n";
}

absl::StatusOr<bool> RunDemo(const DemoOptions& options) {
  std::vector<std::string> flags = {"--model=" + options.model, "--shutdown_delay=0s"};
  flags.insert(flags.end(), options.server_flags.begin(), options.server_flags.end());
  auto server = ChildServer::Start(options.server_binary, flags, absl::Seconds(60));
  if (!server.ok()) return server.status();
  auto stub = v1::GenerationService::NewStub(
      grpc::CreateChannel((*server)->address(), grpc::InsecureChannelCredentials()));
  const auto info = ModelInfo(*stub);
  if (!info.ok()) return info.status();
  ShowModel(*info);

  const auto demo =
      MakeDemoText(options.seed, options.num_tokens, options.num_facts,
                   [&](const std::string& text) { return CountTokens(stub.get(), "", text); });
  if (!demo.ok()) return demo.status();
  ShowQuestion(*demo, options.seed);
  const auto outcome = Ask(*stub, *demo);
  if (!outcome.ok()) return outcome.status();

  const bool right = outcome->answer.find(demo->facts[0].code) != std::string::npos;
  std::cout << "          " << (right ? "right" : "WRONG: the code is " + demo->facts[0].code)
            << "\n";
  ShowTime(*outcome, demo->num_tokens);
  ShowMemory(*info, *outcome, demo->num_tokens);
  (*server)->Signal(SIGTERM);
  if (const int code = (*server)->WaitForExit(); code != 0) {
    return absl::InternalError(absl::StrCat("the server ended with exit code ", code));
  }
  return right;
}

int Main(int argc, char** argv) {
  DemoOptions options;
  CLI::App app{
      "Asks the bundled model for a fact far back in a long text, through a real server.\n"
      "Exit codes: 0 right answer, 1 could not run, 2 wrong answer."};
  app.add_option("--server", options.server_binary, "winnow-server to start")->required();
  app.add_option("--model", options.model, "checkpoint directory")->required();
  app.add_option("--seed", options.seed, "the text, the facts and their codes follow from it")
      ->capture_default_str();
  app.add_option("--tokens", options.num_tokens, "length of the text")
      ->check(CLI::Range(1000, 10'000'000))
      ->capture_default_str();
  app.add_option("--facts", options.num_facts, "facts in the text; the first one is asked for")
      ->check(CLI::Range(1, 10))
      ->capture_default_str();
  app.add_option("--server_flag", options.server_flags,
                 "further flag for the server, e.g. --server_flag=--threads=1 (repeatable)");
  CLI11_PARSE(app, argc, argv);

  const absl::StatusOr<bool> right = RunDemo(options);
  if (!right.ok()) {
    std::cerr << "winnow-demo: " << right.status().message() << "\n";
    return 1;
  }
  return *right ? 0 : 2;
}

}  // namespace
}  // namespace winnow

int main(int argc, char** argv) { return winnow::Main(argc, argv); }
