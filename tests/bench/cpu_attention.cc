// Measures attention, the router and the kept set of window + learned eviction, and sampling,
// against what the machine can do.
//
// Everything in one run: rounds of all measurements one after the other, medians over the rounds.
// Decode steps go round several layers, as a model does, so that keys and values come from beyond
// the cores' own caches.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/departures.h"
#include "kernels/cpu/router.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/test_pages.h"
#include "kernels/cpu/test_slots.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/write_kv.h"
#include "tests/bench/machine_rates.h"
#include "tests/bench/measurement.h"

namespace winnow::bench {
namespace {

struct Options {
  int threads = 2;
  int rounds = 7;
  int layers = 12;
  int page_tokens = 16;
  int piece = 256;
};

// An attention layer's structure. buffer 0: no eviction, all `window` tokens before the step are in
// the ring.
struct Shape {
  const char* name;
  int64_t kv_heads;
  int64_t group;
  int64_t head_dim;
  int64_t window;
  int64_t buffer;
};

constexpr Shape kLte04 = {"0.4B lte", 16, 1, 64, 768, 512};
constexpr Shape kLte14 = {"1.4B lte", 8, 4, 64, 768, 512};
constexpr Shape kFull8k = {"1.4B full 8k", 8, 4, 64, 8192, 0};

std::vector<float> Random(int64_t size) {
  static std::mt19937 rng(1);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<float> x(size);
  for (float& value : x) value = draw(rng);
  return x;
}

// Random filters of the published form: three convolutions of width 3, dilation 2, channels halved
// by each.
class Router {
 public:
  explicit Router(const Shape& shape) {
    int64_t in = 2 * shape.head_dim;
    weights_.groups = shape.kv_heads;
    for (int i = 0; i < 3; ++i) {
      storage_.push_back(Random(shape.kv_heads * 3 * in * (in / 2)));
      storage_.push_back(Random(shape.kv_heads * (in / 2)));
      RouterConv conv;
      conv.weight = storage_[2 * i].data();
      conv.bias = storage_[2 * i + 1].data();
      conv.in = in;
      conv.out = in / 2;
      conv.size = 3;
      conv.dilation = 2;
      weights_.convs.push_back(conv);
      multiply_adds_ += shape.kv_heads * 3 * in * conv.out;
      in = conv.out;
    }
    storage_.push_back(Random(shape.kv_heads * in));
    storage_.push_back(Random(shape.kv_heads));
    weights_.proj_weight = storage_[6].data();
    weights_.proj_bias = storage_[7].data();
  }

  const RouterWeights& weights() const { return weights_; }
  // Of one token.
  int64_t multiply_adds() const { return multiply_adds_; }
  int64_t bytes() const { return multiply_adds_ * static_cast<int64_t>(sizeof(float)); }

 private:
  std::vector<std::vector<float>> storage_;
  RouterWeights weights_;
  int64_t multiply_adds_ = 0;
};

// A layer and a step of `sequences` sequences with `rows` rows each, deep enough that window and
// buffer are full.
class Layer {
 public:
  Layer(const Shape& shape, const Router* router, int64_t sequences, int64_t rows,
        int64_t page_tokens)
      : shape_(shape),
        router_(router),
        sequences_(sequences),
        rows_(rows),
        span_(shape.window + 1),
        pages_({page_tokens, shape.head_dim, shape.kv_heads, span_, span_, shape.buffer}, sequences,
               1),
        slots_(sequences, FieldBytes()) {
    const int64_t kv_size = shape.kv_heads * shape.head_dim;
    const int64_t num_rows = sequences * rows;
    q_ = Random(num_rows * kv_size * shape.group);
    k_ = Random(num_rows * kv_size);
    v_ = Random(num_rows * kv_size);
    out_.resize(q_.size());
    scores_.resize(num_rows * shape.kv_heads);
    Start();
  }

  void Attention(cpu::ThreadPool& pool) {
    AttentionArgs args;
    args.batch = batch_;
    args.q = View(q_, shape_.kv_heads * shape_.group);
    args.k = View(k_, shape_.kv_heads);
    args.v = View(v_, shape_.kv_heads);
    args.out = View(out_, shape_.kv_heads * shape_.group);
    args.pages = pages_.View();
    args.span = span_;
    args.plan = shape_.buffer > 0 ? &plan_ : nullptr;
    args.buffer_size = shape_.buffer;
    cpu::Attention(pool, args);
  }

  void Departures(cpu::ThreadPool& pool) {
    DeparturesArgs args;
    args.batch = batch_;
    args.scores = TensorView::Of(scores_.data(), DType::kF32, {batch_.num_tokens, shape_.kv_heads});
    args.margin = 6;
    args.span = span_;
    args.buffer_size = shape_.buffer;
    args.num_kv_heads = shape_.kv_heads;
    args.score_ring = slots_.Field(0);
    args.kept_count = slots_.Field(1);
    args.kept_score = slots_.Field(2);
    args.kept_position = slots_.Field(3);
    args.plan = plan_;
    cpu::Departures(pool, args);
  }

  void RouterScores(cpu::ThreadPool& pool) {
    RouterScoresArgs args;
    args.batch = batch_;
    args.k = View(k_, shape_.kv_heads);
    args.v = View(v_, shape_.kv_heads);
    args.weights = &router_->weights();
    for (int i = 0; i < 3; ++i) args.history.push_back(slots_.Field(4 + i));
    args.scores = TensorView::Of(scores_.data(), DType::kF32, {batch_.num_tokens, shape_.kv_heads});
    cpu::RouterScores(pool, args);
  }

  void WriteKv(cpu::ThreadPool& pool) {
    WriteKvArgs args;
    args.batch = batch_;
    args.k = View(k_, shape_.kv_heads);
    args.v = View(v_, shape_.kv_heads);
    args.pages = pages_.View();
    args.plan = shape_.buffer > 0 ? &plan_ : nullptr;
    args.buffer_size = shape_.buffer;
    cpu::WriteKv(pool, args);
  }

  // Multiply-adds of attention over what is visible: each query and key once for the score, once
  // for the sum.
  double AttentionMultiplyAdds() const {
    return 2.0 * sequences_ * rows_ * (span_ + shape_.buffer) * shape_.kv_heads * shape_.group *
           shape_.head_dim;
  }
  // Keys and values before the step, once.
  double AttentionBytes() const {
    return 8.0 * sequences_ * (shape_.window + shape_.buffer) * shape_.kv_heads * shape_.head_dim;
  }

 private:
  std::vector<int64_t> FieldBytes() const {
    const int64_t heads = shape_.kv_heads;
    std::vector<int64_t> bytes = {span_ * heads * 4, heads * 4, heads * shape_.buffer * 4,
                                  heads * shape_.buffer * 8};
    if (router_ != nullptr) {
      for (const RouterConv& conv : router_->weights().convs)
        bytes.push_back(conv.history() * heads * conv.in * 4);
    }
    return bytes;
  }

  TensorView View(std::vector<float>& x, int64_t heads) const {
    return TensorView::Of(x.data(), DType::kF32, {batch_.num_tokens, heads, shape_.head_dim});
  }

  // The state after kFirstPosition tokens, all of whose kept slots are in use.
  void Start() {
    const int64_t heads = shape_.kv_heads;
    row_offsets_ = {0};
    for (int64_t b = 0; b < sequences_; ++b) {
      for (int64_t r = 0; r < rows_; ++r) positions_.push_back(kFirstPosition + r);
      row_offsets_.push_back(static_cast<int32_t>(positions_.size()));
      slot_ids_.push_back(static_cast<int32_t>(b + 1));
      slots_.Zero(b + 1);
      pages_.ProvideRing(b + 1, span_);
      for (int64_t h = 0; h < heads; ++h) {
        pages_.ProvideKept(b + 1, h, shape_.buffer);
        slots_.Field(1).at<int32_t>(b + 1)[h] = static_cast<int32_t>(shape_.buffer);
        for (int64_t i = 0; i < shape_.buffer; ++i) {
          slots_.Field(2).at<float>(b + 1)[h * shape_.buffer + i] =
              0.3f + 1e-4f * static_cast<float>(i);
          slots_.Field(3).at<int64_t>(b + 1)[h * shape_.buffer + i] = i;
        }
      }
    }
    batch_.num_sequences = sequences_;
    batch_.num_tokens = sequences_ * rows_;
    batch_.max_tokens_per_sequence = rows_;
    batch_.positions = positions_.data();
    batch_.row_offsets = row_offsets_.data();
    batch_.slots = slot_ids_.data();
    FillPages();
    const int64_t lists = sequences_ * heads;
    kept_before_.assign(lists, static_cast<int32_t>(shape_.buffer));
    kept_expiry_.assign(lists * shape_.buffer, kNeverExpires);
    source_.assign(lists * shape_.buffer, kUnchanged);
    for (int64_t i = 0; i < lists; ++i) {
      for (int64_t p = 0; p < span_; ++p) ring_expiry_.push_back(0);
      for (int64_t j = kFirstPosition - span_; j < kFirstPosition; ++j)
        ring_expiry_[i * span_ + j % span_] = j + span_;
    }
    for (int64_t t = 0; t < batch_.num_tokens * heads; ++t)
      chunk_expiry_.push_back(positions_[t / heads] + span_);
    plan_ = {kept_before_.data(), kept_expiry_.data(), ring_expiry_.data(), chunk_expiry_.data(),
             source_.data()};
  }

  void FillPages() {
    const LayerPages pages = pages_.View();
    const std::vector<float> some = Random(2 * shape_.head_dim);
    const auto fill = [&](float* key) {
      std::copy_n(some.begin(), shape_.head_dim, key);
      std::copy_n(some.begin() + shape_.head_dim, shape_.head_dim, key + pages.value_offset());
    };
    for (int64_t b = 0; b < sequences_; ++b) {
      for (int64_t h = 0; h < shape_.kv_heads; ++h) {
        for (int64_t p = 0; p < span_; ++p) fill(pages.RingKey<float>(b + 1, h, p));
        for (int64_t p = 0; p < shape_.buffer; ++p) fill(pages.KeptKey<float>(b + 1, h, p));
      }
    }
  }

  static constexpr int64_t kFirstPosition = 100000;

  const Shape shape_;
  const Router* router_;
  const int64_t sequences_;
  const int64_t rows_;
  const int64_t span_;
  cpu::TestPages pages_;
  cpu::TestSlots slots_;
  RaggedBatch batch_;
  std::vector<int64_t> positions_;
  std::vector<int32_t> row_offsets_;
  std::vector<int32_t> slot_ids_;
  std::vector<float> q_, k_, v_, out_, scores_;
  std::vector<int32_t> kept_before_;
  std::vector<int64_t> kept_expiry_, ring_expiry_, chunk_expiry_, source_;
  KeptPlan plan_;
};

// What a measurement moves and computes, as far as it is worth comparing.
struct Work {
  double bytes = 0;
  int64_t working_set = 0;  // bytes that calls go round before they come back to the same ones
  double multiply_adds = 0;
};

// One line of the report. What reads memory is compared with plain reads of as much from a working
// set of the same size.
struct Line {
  std::string name;
  Work work;
  std::unique_ptr<Measurement> measurement;
  std::unique_ptr<Measurement> plain_read;

  void Print(double multiply_add_rate) const {
    const double seconds = measurement->MedianSeconds();
    std::printf("%-34s %10.1f", name.c_str(), seconds * 1e6);
    if (work.bytes > 0) {
      std::printf(" %8.2f MB of %4ld %7.1f GB/s  read %5.1f GB/s %4.0f%%", work.bytes / 1e6,
                  work.working_set / 1000000, work.bytes / seconds / 1e9,
                  work.bytes / plain_read->MedianSeconds() / 1e9,
                  100 * plain_read->MedianSeconds() / seconds);
    }
    if (work.multiply_adds > 0) {
      std::printf(" %8.1f GFLOP/s %4.0f%%", 2 * work.multiply_adds / seconds / 1e9,
                  100 * work.multiply_adds / seconds / multiply_add_rate);
    }
    std::printf("\n");
  }
};

class Report {
 public:
  explicit Report(const Options& options) : options_(options), pool_(options.threads) {}

  void AddShape(const Shape& shape, int64_t batch) {
    auto decode = std::make_shared<std::vector<std::unique_ptr<Layer>>>();
    const int num_layers = shape.buffer > 0 ? options_.layers : 2;
    const Router* router = nullptr;
    for (int i = 0; i < num_layers; ++i) {
      if (shape.buffer > 0) {
        routers_.push_back(std::make_unique<Router>(shape));
        router = routers_.back().get();
      }
      decode->push_back(std::make_unique<Layer>(shape, router, batch, 1, options_.page_tokens));
    }
    auto next = [decode, at = size_t{0}]() mutable {
      return (*decode)[at++ % decode->size()].get();
    };
    const std::string who = std::string(shape.name) + ", batch " + std::to_string(batch);
    const double bytes = decode->front()->AttentionBytes();
    Add(who + ": attention", {bytes, static_cast<int64_t>(bytes) * num_layers, 0},
        [this, next]() mutable { next()->Attention(pool_); });
    if (router != nullptr) {
      const double weight_bytes = static_cast<double>(router->bytes());
      Add(who + ": router", {weight_bytes, router->bytes() * num_layers, 0},
          [this, next]() mutable { next()->RouterScores(pool_); });
      Add(who + ": departures", {}, [this, next]() mutable { next()->Departures(pool_); });
    }
    Add(who + ": write", {}, [this, next]() mutable { next()->WriteKv(pool_); });
  }

  void AddPiece(const Shape& shape) {
    routers_.push_back(std::make_unique<Router>(shape));
    const Router* router = shape.buffer > 0 ? routers_.back().get() : nullptr;
    auto layer = std::make_shared<Layer>(shape, router, 1, options_.piece, options_.page_tokens);
    const std::string who =
        std::string(shape.name) + ", piece of " + std::to_string(options_.piece);
    Add(who + ": attention", {.multiply_adds = layer->AttentionMultiplyAdds()},
        [this, layer] { layer->Attention(pool_); });
    if (router != nullptr) {
      const double multiply_adds = static_cast<double>(router->multiply_adds() * options_.piece);
      Add(who + ": router", {.multiply_adds = multiply_adds},
          [this, layer] { layer->RouterScores(pool_); });
      Add(who + ": departures", {}, [this, layer] { layer->Departures(pool_); });
    }
    Add(who + ": write", {}, [this, layer] { layer->WriteKv(pool_); });
  }

  void AddSample(int64_t vocab, const char* name, const SamplingParams& sampling,
                 bool want_logprobs, const TokenContext& context = {}) {
    auto logits = std::make_shared<std::vector<float>>(Random(vocab));
    for (float& x : *logits) x *= 8;
    LogitsRow row;
    row.sampling = sampling;
    row.context = context;
    row.want_logprobs = want_logprobs;
    Add("sample of " + std::to_string(vocab) + ", " + name, {}, [this, logits, row, vocab] {
      RowResult result;
      cpu::Sample(pool_, {TensorView::Of(logits->data(), DType::kF32, {1, vocab}), &row, &result});
    });
  }

  void Run() {
    StartPlainReads();
    int64_t multiply_adds = 0;
    Measurement multiply_add([&] { multiply_adds = MultiplyAdd(pool_, 1'000'000); });
    for (int round = 0; round < options_.rounds; ++round) {
      multiply_add.Round();
      for (const Line& line : lines_) {
        line.measurement->Round();
        if (line.plain_read != nullptr) line.plain_read->Round();
      }
    }
    const double multiply_add_rate =
        static_cast<double>(multiply_adds) / multiply_add.MedianSeconds();
    std::printf("%d threads, pages of %d tokens, medians of %d rounds (checksum %u)\n",
                options_.threads, options_.page_tokens, options_.rounds, checksum_);
    std::printf("float32 multiply-adds: %.1f GFLOP/s\n\n", 2 * multiply_add_rate / 1e9);
    std::printf("%-34s %10s\n", "one layer", "us");
    for (const Line& line : lines_) line.Print(multiply_add_rate);
  }

 private:
  void Add(std::string name, Work work, std::function<void()> fn) {
    lines_.push_back(
        {std::move(name), work, std::make_unique<Measurement>(std::move(fn)), nullptr});
  }

  void StartPlainReads() {
    int64_t most = 0;
    for (const Line& line : lines_) most = std::max(most, line.work.working_set);
    memory_.assign(most, std::byte{1});
    for (Line& line : lines_) {
      if (line.work.bytes == 0) continue;
      const int64_t size = static_cast<int64_t>(line.work.bytes);
      const int64_t end = line.work.working_set;
      line.plain_read = std::make_unique<Measurement>([this, size, end, at = int64_t{0}]() mutable {
        if (at + size > end) at = 0;
        checksum_ += ReadAll(pool_, {memory_.data() + at, static_cast<size_t>(size)});
        at += size;
      });
    }
  }

  const Options options_;
  cpu::ThreadPool pool_;
  std::vector<std::unique_ptr<Router>> routers_;
  std::vector<Line> lines_;
  std::vector<std::byte> memory_;
  uint32_t checksum_ = 0;
};

}  // namespace

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Attention, router, kept set and sampling of window + learned eviction on the CPU, beside "
      "the machine's own rates.");
  app.add_option("--threads", options.threads, "threads of every measurement")
      ->check(CLI::Range(1, 1024));
  app.add_option("--rounds", options.rounds, "rounds; medians are printed")
      ->check(CLI::Range(1, 1000));
  app.add_option("--layers", options.layers, "layers that decode steps go round")
      ->check(CLI::Range(1, 64));
  app.add_option("--page_tokens", options.page_tokens, "tokens in a page")
      ->check(CLI::Range(1, 1024));
  app.add_option("--piece", options.piece, "rows of a prompt piece")->check(CLI::Range(2, 4096));
  CLI11_PARSE(app, argc, argv);
  Report report(options);
  for (const Shape& shape : {kLte04, kLte14}) {
    report.AddShape(shape, 1);
    report.AddShape(shape, 8);
    report.AddPiece(shape);
  }
  report.AddShape(kFull8k, 1);
  report.AddPiece(kFull8k);
  std::vector<uint32_t> prompt(8000);  // distinct, in no order
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<uint32_t>(i * 7919 % 32000);
  for (const int64_t vocab : {32000, 250000}) {
    report.AddSample(vocab, "greedy", {.temperature = 0}, false);
    report.AddSample(vocab, "greedy, logprobs", {.temperature = 0}, true);
    report.AddSample(vocab, "temperature", {.temperature = 0.8f}, false);
    report.AddSample(vocab, "top_k, top_p", {.temperature = 0.8f, .top_k = 50, .top_p = 0.9f},
                     false);
    report.AddSample(vocab, "top_p", {.temperature = 0.8f, .top_p = 0.95f}, false);
    report.AddSample(vocab, "min_p", {.temperature = 0.8f, .min_p = 0.05f}, false);
    report.AddSample(vocab, "penalty", {.temperature = 0, .repetition_penalty = 1.2f}, false,
                     {.prompt = prompt});
  }
  report.Run();
  return 0;
}

}  // namespace winnow::bench

int main(int argc, char** argv) { return winnow::bench::Main(argc, argv); }
