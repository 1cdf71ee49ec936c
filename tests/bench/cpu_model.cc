// Measures whole steps of a checkpoint on the CPU: single tokens at several batch sizes against the
// read bandwidth, prompts against the float32 multiply-add rate, both measured in the same run; and
// the time per token far into a text against that near its beginning.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/cpu/thread_pool.h"
#include "tests/bench/machine_rates.h"
#include "tests/bench/measurement.h"
#include "tests/bench/model_driver.h"

namespace winnow::bench {
namespace {

constexpr int64_t kReadBytes = int64_t{1} << 30;  // more than any cache
constexpr int64_t kMultiplyAddRounds = 4'000'000;

struct Options {
  std::string model;
  int threads = 2;
  int rounds = 5;
  int64_t page_tokens = 16;
  std::vector<int64_t> batches = {1, 8};
  std::vector<int64_t> pieces = {64, 256};
  int64_t far = 0;
  int64_t near = 2000;
};

// A step to be timed.
struct Case {
  std::string what;
  int64_t tokens = 0, logits_rows = 0;
  std::unique_ptr<Measurement> measurement;
};

void Report(const Case& c, const ModelDriver& driver, double bytes_per_s,
            double multiply_adds_per_s) {
  const double seconds = c.measurement->MedianSeconds();
  const double read = driver.WeightBytesPerStep() / seconds;
  const double work = driver.MultiplyAdds(c.tokens, c.logits_rows) / seconds;
  std::printf(
      "%-28s %9.2f ms %9.1f tokens/s  weights %7.1f MB %6.1f GB/s %4.0f%%   %7.1f GFLOP/s "
      "%4.0f%%\n",
      c.what.c_str(), seconds * 1e3, c.tokens / seconds, driver.WeightBytesPerStep() / 1e6,
      read / 1e9, 100 * read / bytes_per_s, 2 * work / 1e9, 100 * work / multiply_adds_per_s);
}

void MeasureSteps(const Options& options) {
  const int64_t most_sequences = *std::max_element(options.batches.begin(), options.batches.end());
  const int64_t most_tokens =
      std::max(most_sequences, *std::max_element(options.pieces.begin(), options.pieces.end()));
  ModelDriver driver(options.model, options.threads, most_sequences, most_tokens,
                     options.page_tokens);
  std::printf("backend: %s; percentages: of the read bandwidth, of the float32 multiply-add rate\n",
              std::string(driver.backend().description()).c_str());

  cpu::ThreadPool pool(options.threads);
  std::vector<std::byte> memory(kReadBytes, std::byte{1});
  int64_t multiply_adds = 0;
  volatile uint32_t sink = 0;
  Measurement read([&] { sink = ReadAll(pool, memory); });
  Measurement multiply_add([&] { multiply_adds = MultiplyAdd(pool, kMultiplyAddRounds); });
  std::vector<Case> cases;
  for (const int64_t batch : options.batches) {
    cases.push_back(
        {"single tokens, batch " + std::to_string(batch), batch, batch,
         std::make_unique<Measurement>([&driver, batch] { driver.Step(0, batch, 1); })});
  }
  for (const int64_t piece : options.pieces) {
    cases.push_back(
        {"prompt piece of " + std::to_string(piece), piece, 1,
         std::make_unique<Measurement>([&driver, piece] { driver.Step(0, 1, piece); })});
  }
  for (int round = 0; round < options.rounds; ++round) {
    read.Round();
    multiply_add.Round();
    for (Case& c : cases) c.measurement->Round();
  }
  const double bytes_per_s = kReadBytes / read.MedianSeconds();
  const double rate = multiply_adds / multiply_add.MedianSeconds();
  std::printf("read bandwidth %.1f GB/s, float32 multiply-adds %.1f GFLOP/s\n", bytes_per_s / 1e9,
              2 * rate / 1e9);
  for (const Case& c : cases) Report(c, driver, bytes_per_s, rate);
}

// Two sequences, one near its beginning and one far into its text, take turns.
void MeasureConstantTime(const Options& options) {
  constexpr int64_t kPiece = 256;
  ModelDriver driver(options.model, options.threads, 2, kPiece, options.page_tokens);
  while (driver.position(0) < options.near) driver.Step(0, 1, kPiece);
  while (driver.position(1) < options.far) driver.Step(1, 1, kPiece);
  const int64_t near = driver.position(0), far = driver.position(1);
  for (const int64_t tokens : {int64_t{1}, kPiece}) {
    Measurement at_near([&] { driver.Step(0, 1, tokens); });
    Measurement at_far([&] { driver.Step(1, 1, tokens); });
    for (int round = 0; round < 3 * options.rounds; ++round) {
      at_near.Round();
      at_far.Round();
    }
    std::printf(
        "%3lld tokens a step: %.1f us a token from position %lld on, %.1f us from %lld on, ratio "
        "%.3f\n",
        static_cast<long long>(tokens), at_near.MedianSeconds() / tokens * 1e6,
        static_cast<long long>(near), at_far.MedianSeconds() / tokens * 1e6,
        static_cast<long long>(far), at_far.MedianSeconds() / at_near.MedianSeconds());
  }
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app{"Measures whole steps of a checkpoint on the CPU (medians of interleaved rounds)."};
  app.add_option("--model", options.model, "checkpoint directory")->required();
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--page_tokens", options.page_tokens)
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--batches", options.batches, "batch sizes of single tokens")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--pieces", options.pieces, "prompt pieces")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--near", options.near, "with --far: position to compare with")
      ->capture_default_str();
  app.add_option("--far", options.far,
                 "compare the time per token at this position with that at --near, instead of "
                 "measuring steps");
  CLI11_PARSE(app, argc, argv);
  if (options.far > 0) {
    MeasureConstantTime(options);
  } else {
    MeasureSteps(options);
  }
  return 0;
}

}  // namespace
}  // namespace winnow::bench

int main(int argc, char** argv) { return winnow::bench::Main(argc, argv); }
