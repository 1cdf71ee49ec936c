// Measures what --state_dtype=bf16 does to a model's logits: runs one text through the same
// checkpoint with its recurrent state in float32 and in bf16, and prints how far the logits of the
// last 16 tokens before 1,024, 2,048, ... are apart. Beside it, for scale, the same with the
// float32 state alone when the text is cut into pieces half as long.
//
//   gpu-bench state_dtype --model=DIR [--tokens=32768] [--text=FILE of token ids]
//
// S is rounded at the end of every step: after every piece of a prompt and after every generated
// token. So that both are in it, the last --singles tokens before a measured position are computed
// one by one, the others in pieces.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/check.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/testing/forwarding_backend.h"
#include "model/config.h"
#include "model/device_weights.h"
#include "model/hybrid_model.h"
#include "model/state_spec.h"
#include "model/weights.h"
#include "tests/bench/gpu/gpu_bench.h"

namespace winnow::bench {
namespace {

constexpr int32_t kSlot = 1;
// Tokens whose logits are compared at each position.
constexpr int64_t kCompared = 16;

// [kCompared][vocab]
using LogitsRows = std::vector<std::vector<float>>;

struct Options {
  std::string model;
  std::string text;
  std::string cublaslt;
  std::string compute = "bf16";
  int64_t tokens = 32768;
  int64_t piece = 256;
  int64_t singles = 512;
};

template <typename T>
T Must(absl::StatusOr<T> value) {
  WINNOW_CHECK(value.ok()) << value.status();
  return *std::move(value);
}

// Copies the logits that Sample is given.
class LogitsTap final : public testing::ForwardingBackend {
 public:
  explicit LogitsTap(Backend* to) : ForwardingBackend(to), replaying_(*to) {}

  bool replays() const override { return replaying_.replays(); }
  absl::Status Replay(uint64_t key, const std::function<absl::Status()>& issue) override {
    return replaying_.Replay(key, issue);
  }
  absl::Status Sample(const SampleArgs& args) override {
    logits_.resize(args.logits.size());
    const absl::Status status =
        Download(logits_.data(), static_cast<const std::byte*>(args.logits.raw),
                 args.logits.size() * static_cast<int64_t>(sizeof(float)));
    return status.ok() ? ForwardingBackend::Sample(args) : status;
  }
  // Of the last step, once it is waited for.
  const std::vector<float>& logits() const { return logits_; }

 private:
  Backend& replaying_;
  std::vector<float> logits_;
};

// The text, computed up to wherever is asked for.
class Reader {
 public:
  Reader(const ModelConfig& config, const Weights* weights, LogitsTap* backend,
         const std::vector<uint32_t>& text, int64_t piece, DType state_dtype)
      : backend_(*backend), text_(text), piece_(piece) {
    const StateSpec spec =
        Must(StateSpec::Create(config, {.page_dtype = backend->activation_dtype(),
                                        .state_dtype = state_dtype,
                                        .max_sequence_tokens = static_cast<int64_t>(text.size())}));
    for (int64_t entry = 0; entry < spec.table_entries(); ++entry) {
      page_edits_.push_back({kSlot, entry, static_cast<int32_t>(entry + 1)});
    }
    model_ = Must(HybridModel::Create(config, weights, backend, spec,
                                      {.max_step_tokens = piece,
                                       .max_step_sequences = 1,
                                       .num_slots = 1,
                                       .num_pages = spec.table_entries(),
                                       .logits_block_rows = 1}));
  }

  // Computes up to `position` tokens, the last `singles` >= kCompared of them one by one, and
  // returns the logits after the last kCompared.
  LogitsRows LogitsAt(int64_t position, int64_t singles) {
    while (position_ < position - singles) {
      Step(std::min(piece_, position - singles - position_));
    }
    LogitsRows rows;
    while (position_ < position) {
      Step(1);
      if (position_ > position - kCompared) rows.push_back(backend_.logits());
    }
    return rows;
  }

 private:
  void Step(int64_t num_tokens) {
    StepBatch batch;
    batch.page_edits = std::exchange(page_edits_, {});
    batch.row_offsets = {0, static_cast<int32_t>(num_tokens)};
    batch.slots = {kSlot};
    for (int64_t i = 0; i < num_tokens; ++i, ++position_) {
      batch.tokens.push_back(text_[position_]);
      batch.positions.push_back(position_);
    }
    LogitsRow row;
    row.row = static_cast<int32_t>(num_tokens - 1);
    row.sampling.temperature = 0;
    batch.logits_rows.push_back(row);
    StepResult result;
    absl::Status status = model_->Launch(batch);
    if (status.ok()) status = model_->Wait(&result);
    WINNOW_CHECK(status.ok()) << status;
  }

  LogitsTap& backend_;
  const std::vector<uint32_t>& text_;
  const int64_t piece_;
  std::vector<PageTableEdit> page_edits_;  // for the first step
  std::unique_ptr<HybridModel> model_;
  int64_t position_ = 0;
};

// Ids from the file, again and again; without one, random ones.
std::vector<uint32_t> Text(const Options& options, int64_t vocab_size) {
  std::vector<uint32_t> text;
  if (!options.text.empty()) {
    std::ifstream file(options.text);
    for (uint32_t id = 0; file >> id;) {
      WINNOW_CHECK(id < vocab_size) << "token " << id << " of " << vocab_size;
      text.push_back(id);
    }
    WINNOW_CHECK(!text.empty()) << "no token ids in " << options.text;
    for (size_t i = 0; static_cast<int64_t>(text.size()) < options.tokens; ++i) {
      text.push_back(text[i]);
    }
  }
  std::mt19937 random(1);
  while (static_cast<int64_t>(text.size()) < options.tokens) {
    text.push_back(static_cast<uint32_t>(random() % vocab_size));
  }
  text.resize(options.tokens);
  return text;
}

std::vector<double> LogSoftmax(const std::vector<float>& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - max);
  std::vector<double> logprobs;
  for (const float x : logits) logprobs.push_back(x - max - std::log(sum));
  return logprobs;
}

// Sums over all logits of some rows.
struct Difference {
  double error = 0, norm = 0;  // squares: of the difference, and of what is expected
  double worst = 0;            // of log-probabilities
  double divergence = 0;       // KL of the distributions
  int other_best = 0;          // rows with another best token

  void Add(const std::vector<float>& x, const std::vector<float>& expected) {
    const std::vector<double> p = LogSoftmax(x), q = LogSoftmax(expected);
    for (size_t i = 0; i < q.size(); ++i) {
      error += std::pow(double{x[i]} - expected[i], 2);
      norm += std::pow(double{expected[i]}, 2);
      worst = std::max(worst, std::abs(p[i] - q[i]));
      divergence += std::exp(q[i]) * (q[i] - p[i]);
    }
    other_best += std::max_element(p.begin(), p.end()) - p.begin() !=
                  std::max_element(q.begin(), q.end()) - q.begin();
  }
};

void PrintDifference(const char* what, const LogitsRows& rows, const LogitsRows& expected) {
  Difference sums;
  for (size_t i = 0; i < expected.size(); ++i) sums.Add(rows[i], expected[i]);
  const double count = static_cast<double>(expected.size());
  std::printf(
      "  %-21s logits off by %.2e (norm), log-probabilities by %.2e at most, mean KL %.2e, "
      "%d of %d best tokens differ\n",
      what, std::sqrt(sums.error / sums.norm), sums.worst, sums.divergence / count, sums.other_best,
      static_cast<int>(count));
}

void Compare(const Options& options, Backend* cuda) {
  LogitsTap backend(cuda);
  const ModelConfig config = Must(LoadModelConfig(options.model + "/config.json"));
  const std::unique_ptr<const Weights> weights = Must(
      PlaceWeights(Must(Weights::Load(options.model, config)), &backend, [](int64_t, int64_t) {}));
  const std::vector<uint32_t> text = Text(options, config.vocab_size);
  Reader wide(config, weights.get(), &backend, text, options.piece, DType::kF32);
  Reader narrow(config, weights.get(), &backend, text, options.piece, DType::kBF16);
  Reader other_cut(config, weights.get(), &backend, text, std::max<int64_t>(1, options.piece / 2),
                   DType::kF32);
  for (int64_t position = std::min<int64_t>(1024, options.tokens);;) {
    const LogitsRows expected = wide.LogitsAt(position, options.singles);
    std::printf("%d tokens, pieces of %d, the last %d one by one; against the float32 state:\n",
                static_cast<int>(position), static_cast<int>(options.piece),
                static_cast<int>(options.singles));
    PrintDifference("state in bf16:", narrow.LogitsAt(position, options.singles), expected);
    PrintDifference("pieces half as long:", other_cut.LogitsAt(position, options.singles),
                    expected);
    if (position == options.tokens) return;
    position = std::min(2 * position, options.tokens);
  }
}

}  // namespace

int MeasureStateDtype(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Options options;
  CLI::App app{"Measures what a recurrent state in bf16 does to a model's logits."};
  app.add_option("--model", options.model, "checkpoint directory")->required();
  app.add_option("--text", options.text, "file of token ids; default: random ones");
  app.add_option("--cublaslt", options.cublaslt, "path of libcublasLt.so.13");
  app.add_option("--compute", options.compute)->check(CLI::IsMember({"bf16", "f32"}));
  app.add_option("--tokens", options.tokens)
      ->check(CLI::Range(kCompared, int64_t{1} << 24))
      ->capture_default_str();
  app.add_option("--piece", options.piece)->check(CLI::Range(1, 1 << 16))->capture_default_str();
  app.add_option("--singles", options.singles, "tokens one by one before each position")
      ->check(CLI::Range(kCompared, int64_t{1} << 24))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  auto backend =
      cuda::CudaBackend::Create({.memory_fraction = 0.95,
                                 .compute = options.compute == "f32" ? DType::kF32 : DType::kBF16,
                                 .cublaslt = options.cublaslt});
  WINNOW_CHECK(backend.ok()) << backend.status();
  std::printf("%s\n", std::string((*backend)->description()).c_str());
  Compare(options, backend->get());
  return 0;
}
}  // namespace winnow::bench
