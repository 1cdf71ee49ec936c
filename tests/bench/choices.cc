// Measures through gRPC, on the demo model, how long it takes until every choice of a request has
// its first token: n choices from one prompt against one choice, and against n requests at once.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <set>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/check.h"
#include "spdlog/spdlog.h"
#include "tests/e2e/demo_server.h"
#include "tests/e2e/harness.h"

namespace winnow::bench {
namespace {

// Choices go on after their first token, as in earnest.
constexpr uint32_t kOutputTokens = 16;

struct BenchOptions {
  int prompt_tokens = 1500;
  int choices = 8;
  int rounds = 31;
  int threads = 2;
};

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

v1::GenerateRequest Ask(const BenchOptions& options, int choices) {
  v1::GenerateRequest request = IdsRequest(SomePrompt(options.prompt_tokens), kOutputTokens);
  request.mutable_sampling()->set_temperature(1);
  request.mutable_sampling()->set_seed(1);
  request.mutable_sampling()->set_n(choices);
  return request;
}

// Reads until `choices` choices have a token.
void AwaitFirstTokens(Call* call, int choices) {
  std::set<uint32_t> begun;
  v1::GenerateResponse message;
  while (static_cast<int>(begun.size()) < choices) {
    WINNOW_CHECK(call->Read(&message)) << call->Finish().message;
    if (message.has_delta()) begun.insert(message.choice());
  }
}

// Seconds until the last choice's first token, of `num_calls` calls at once.
double TimeFirstTokens(Client& client, const BenchOptions& options, int num_calls, int choices) {
  const v1::GenerateRequest request = Ask(options, choices);
  std::vector<std::unique_ptr<Call>> calls;
  const double begin = Now();
  for (int i = 0; i < num_calls; ++i) calls.push_back(client.Start(request));
  for (const auto& call : calls) AwaitFirstTokens(call.get(), choices);
  const double seconds = Now() - begin;
  for (const auto& call : calls) {
    const Outcome outcome = call->Finish();
    WINNOW_CHECK(outcome.code == absl::StatusCode::kOk) << outcome.message;
  }
  return seconds;
}

void Measure(const BenchOptions& options) {
  Options server_options = DemoOptions();
  server_options.threads = options.threads;
  DemoServer server(server_options);
  Client client(server.address());
  std::vector<double> one, shared, separate;
  TimeFirstTokens(client, options, options.choices, 1);  // warms up
  for (int round = 0; round < options.rounds; ++round) {
    one.push_back(TimeFirstTokens(client, options, 1, 1));
    shared.push_back(TimeFirstTokens(client, options, 1, options.choices));
    separate.push_back(TimeFirstTokens(client, options, options.choices, 1));
  }
  const double base = Median(one);
  std::printf("%d prompt tokens, %d rounds: the last choice's first token after (median)\n",
              options.prompt_tokens, options.rounds);
  std::printf("  n = 1                %8.2f ms\n", base * 1e3);
  std::printf("  n = %-2d               %8.2f ms  %.3fx\n", options.choices, Median(shared) * 1e3,
              Median(shared) / base);
  std::printf("  %2d requests at once  %8.2f ms  %.3fx\n", options.choices, Median(separate) * 1e3,
              Median(separate) / base);
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app{"Time to the first token of the last choice (medians of interleaved rounds)."};
  app.add_option("--prompt_tokens", options.prompt_tokens)
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--choices", options.choices)->check(CLI::Range(1, 16))->capture_default_str();
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 256))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::warn);
  Measure(options);
  return 0;
}

}  // namespace
}  // namespace winnow::bench

int main(int argc, char** argv) { return winnow::bench::Main(argc, argv); }
