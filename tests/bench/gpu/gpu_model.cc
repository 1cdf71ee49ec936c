// Measures whole steps of a checkpoint on a CUDA device: single tokens at several batch sizes
// against the fewest bytes that such a step must move, at the device's copy bandwidth measured in
// the same run; prompts in tokens per second; with --ops, where the time of a step goes.
//
// Bytes of a step of B single tokens: every matrix but the embeddings once, each sequence's slot
// fields of the recurrent layers read and written, and the keys and values that its queries see
// (window and kept, or all) read. With --state_ring=L the recurrent matrices are written by every
// L-th token only, and of the rings (L - 1) / 2 entries are read in the mean and (L - 1) / L
// written; the sequences are spread over all phases of their rings, and a time is the mean of L
// steps. A device copy counts bytes read and bytes written.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <variant>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/check.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/testing/forwarding_backend.h"
#include "tests/bench/gpu/gpu_bench.h"
#include "tests/bench/model_driver.h"

namespace winnow::bench {
namespace {

constexpr int64_t kCopyBytes = int64_t{2} << 30;

struct Options {
  std::string model;
  std::string cublaslt;
  std::string compute = "bf16";
  int rounds = 20;
  int64_t context = 1500;  // tokens of each sequence before single tokens are timed
  int64_t page_tokens = 16;
  std::string state_dtype = "f32";
  int64_t state_ring = 0;
  std::vector<int64_t> batches = {1, 16, 64, 256};
  std::vector<int64_t> prompts = {1, 8};  // sequences of prompt_tokens
  int64_t prompt_tokens = 4096;
  bool ops = false;
};

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Records an event before and after each op.
class TimedBackend : public testing::ForwardingBackend {
 public:
  explicit TimedBackend(cuda::CudaBackend* to)
      : ForwardingBackend(to), cuda_(*to), stream_(to->stream()) {}

  bool replays() const override { return true; }
  absl::Status Replay(uint64_t key, const std::function<absl::Status()>& issue) override {
    return timed_ ? issue() : cuda_.Replay(key, issue);
  }

  void Start() {
    timed_ = true;
    spans_.clear();
  }
  // Prints the ops of `steps` steps by time.
  void Report(int steps) {
    timed_ = false;
    std::map<std::string, std::pair<double, int>> sums;
    for (Span& span : spans_) {
      float ms = 0;
      cudaEventElapsedTime(&ms, span.begin, span.end);
      sums[span.op].first += ms;
      sums[span.op].second += 1;
      cudaEventDestroy(span.begin);
      cudaEventDestroy(span.end);
    }
    std::vector<std::pair<double, std::string>> sorted;
    for (const auto& [op, sum] : sums) sorted.push_back({sum.first, op});
    std::sort(sorted.rbegin(), sorted.rend());
    for (const auto& [ms, op] : sorted) {
      const int count = sums[op].second;
      std::printf("    %-14s %9.1f us a step, %4d calls of %7.2f us\n", op.c_str(),
                  ms * 1e3 / steps, count / steps, ms * 1e3 / count);
    }
  }

 protected:
  absl::Status Around(const char* op, const std::function<absl::Status()>& run) override {
    if (!timed_) return run();
    Span span = {.op = op};
    cudaEventCreate(&span.begin);
    cudaEventCreate(&span.end);
    cudaEventRecord(span.begin, stream_);
    const absl::Status status = run();
    cudaEventRecord(span.end, stream_);
    spans_.push_back(span);
    return status;
  }

 private:
  struct Span {
    std::string op;
    cudaEvent_t begin = nullptr, end = nullptr;
  };
  cuda::CudaBackend& cuda_;
  cudaStream_t stream_;
  bool timed_ = false;
  std::vector<Span> spans_;
};

// Bytes read and written per second by a device-to-device copy.
double CopyBytesPerSecond(cuda::CudaBackend& backend) {
  auto buffer = backend.Allocate(2 * kCopyBytes);
  WINNOW_CHECK(buffer.ok()) << buffer.status();
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<double> seconds;
  for (int i = 0; i < 12; ++i) {
    cudaEventRecord(begin, backend.stream());
    cudaMemcpyAsync(buffer->data(), buffer->data() + kCopyBytes, kCopyBytes,
                    cudaMemcpyDeviceToDevice, backend.stream());
    cudaEventRecord(end, backend.stream());
    cudaEventSynchronize(end);
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    if (i >= 2) seconds.push_back(ms * 1e-3);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return 2.0 * kCopyBytes / Median(seconds);
}

// See the top of this file.
double StateBytesPerToken(const ModelDriver& driver, int64_t context) {
  // Tokens in which a recurrent matrix is written once.
  const double length = std::max<double>(1, static_cast<double>(driver.state_spec().state_ring()));
  const double entries = (length - 1) / 2 + (length - 1) / length;  // read and written
  double bytes = 0;
  for (const StateField& field : driver.state_spec().fields()) {
    const double size = static_cast<double>(field.size_bytes());
    if (field.name == "state") bytes += size * (1 + 1 / length);
    if (field.name.ends_with("_conv")) bytes += 2 * size;
    if (field.name.starts_with("ring_") && field.name != "ring_count") {
      bytes += size / length * entries;
    }
  }
  for (const PageList& list : driver.state_spec().lists()) {
    const int64_t tokens =
        list.kind == PageListKind::kGrowing ? context : std::min(list.capacity, context);
    bytes += static_cast<double>(tokens * driver.state_spec().page_bytes() /
                                 driver.state_spec().page_tokens());
  }
  return bytes;
}

// Seconds of each step, from the call to its results.
std::vector<double> TimeSteps(ModelDriver& driver, int rounds, int64_t sequences, int64_t tokens) {
  std::vector<double> seconds;
  for (int i = 0; i < rounds; ++i) {
    const double begin = Seconds();
    driver.Step(0, sequences, tokens);
    seconds.push_back(Seconds() - begin);
  }
  return seconds;
}

// Sequence i takes i % L single tokens more than its neighbours.
void SpreadOverRings(ModelDriver& driver, int64_t num_sequences) {
  const int64_t length = driver.state_spec().state_ring();
  for (int64_t first = 0; first < num_sequences; first += length) {
    const int64_t end = std::min(num_sequences, first + length);
    for (int64_t i = first + 1; i < end; ++i) driver.Step(i, end - i, 1);
  }
}

// Seconds of a step: the median of `rounds` means over the steps in which every ring comes round.
double TimeDecode(ModelDriver& driver, int rounds, int64_t batch) {
  const int steps = static_cast<int>(std::max<int64_t>(1, driver.state_spec().state_ring()));
  std::vector<double> means;
  for (int i = 0; i < rounds; ++i) {
    const std::vector<double> seconds = TimeSteps(driver, steps, batch, 1);
    means.push_back(std::accumulate(seconds.begin(), seconds.end(), 0.0) / steps);
  }
  return Median(means);
}

void MeasureDecode(const Options& options, ModelDriver& driver, TimedBackend& timed, double copy) {
  for (const int64_t batch : options.batches) {
    TimeSteps(driver, 3, batch, 1);
    const double seconds = TimeDecode(driver, options.rounds, batch);
    const double bytes = static_cast<double>(driver.WeightBytesPerStep()) +
                         static_cast<double>(batch) * StateBytesPerToken(driver, options.context);
    std::printf(
        "single tokens, batch %4d: %8.3f ms, %9.0f tokens/s, %8.1f MB, %7.1f GB/s, %5.1f%% of "
        "copy\n",
        static_cast<int>(batch), seconds * 1e3, static_cast<double>(batch) / seconds, bytes / 1e6,
        bytes / seconds / 1e9, 100 * bytes / seconds / copy);
    if (!options.ops) continue;
    timed.Start();
    for (int i = 0; i < 4; ++i) driver.Step(0, batch, 1);
    timed.Report(4);
  }
}

void MeasurePrompts(const Options& options, ModelDriver& driver, TimedBackend& timed) {
  for (const int64_t sequences : options.prompts) {
    TimeSteps(driver, 1, sequences, options.prompt_tokens);
    const double seconds = Median(TimeSteps(driver, 3, sequences, options.prompt_tokens));
    std::printf("prompts, %d x %d: %8.1f ms, %8.0f tokens/s\n", static_cast<int>(sequences),
                static_cast<int>(options.prompt_tokens), seconds * 1e3,
                static_cast<double>(sequences * options.prompt_tokens) / seconds);
    if (!options.ops) continue;
    timed.Start();
    driver.Step(0, sequences, options.prompt_tokens);
    timed.Report(1);
  }
}

}  // namespace

int MeasureModel(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Options options;
  CLI::App app{"Measures whole steps of a checkpoint on a CUDA device."};
  app.add_option("--model", options.model, "checkpoint directory")->required();
  app.add_option("--cublaslt", options.cublaslt, "path of libcublasLt.so.13");
  app.add_option("--compute", options.compute)->check(CLI::IsMember({"bf16", "f32"}));
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--context", options.context, "tokens before the timed ones")
      ->capture_default_str();
  app.add_option("--page_tokens", options.page_tokens)->capture_default_str();
  app.add_option("--state_dtype", options.state_dtype)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--state_ring", options.state_ring, "0: none")
      ->check(CLI::Range(int64_t{0}, kMaxDeltaRing))
      ->capture_default_str();
  app.add_option("--batches", options.batches)->delimiter(',')->capture_default_str();
  app.add_option("--prompts", options.prompts, "numbers of prompts in a step")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--prompt_tokens", options.prompt_tokens)->capture_default_str();
  app.add_flag("--ops", options.ops, "also print where the time of a step goes");
  CLI11_PARSE(app, argc, argv);

  auto backend =
      cuda::CudaBackend::Create({.memory_fraction = 0.95,
                                 .compute = options.compute == "f32" ? DType::kF32 : DType::kBF16,
                                 .cublaslt = options.cublaslt});
  WINNOW_CHECK(backend.ok()) << backend.status();
  const double copy = CopyBytesPerSecond(**backend);
  std::printf("%s; device copy %.2f TB/s (read + written); state in %s, ring of %d\n",
              std::string((*backend)->description()).c_str(), copy / 1e12,
              options.state_dtype.c_str(), static_cast<int>(options.state_ring));
  const int64_t sequences = std::max(
      options.batches.empty() ? 1
                              : *std::max_element(options.batches.begin(), options.batches.end()),
      options.prompts.empty() ? 1
                              : *std::max_element(options.prompts.begin(), options.prompts.end()));
  const int64_t most_prompts =
      options.prompts.empty() ? 0
                              : *std::max_element(options.prompts.begin(), options.prompts.end());
  constexpr int64_t kContextStep = 8192;  // tokens of the steps that build up the context
  TimedBackend timed(backend->get());
  ModelDriver driver(options.model, &timed, sequences,
                     std::max({sequences, kContextStep, most_prompts * options.prompt_tokens}),
                     {.page_tokens = options.page_tokens,
                      .state_dtype = options.state_dtype == "bf16" ? DType::kBF16 : DType::kF32,
                      .state_ring = options.state_ring},
                     std::min<int64_t>(sequences, 1024));
  const int64_t together = std::max<int64_t>(1, std::min<int64_t>(sequences, 64));
  for (int64_t first = 0; first < sequences; first += together) {
    const int64_t n = std::min(together, sequences - first);
    while (driver.position(first) < options.context) {
      driver.Step(first, n, std::min(kContextStep / n, options.context - driver.position(first)));
    }
  }
  if (driver.state_spec().state_ring() > 0) SpreadOverRings(driver, sequences);
  MeasureDecode(options, driver, timed, copy);
  MeasurePrompts(options, driver, timed);
  return 0;
}
}  // namespace winnow::bench
