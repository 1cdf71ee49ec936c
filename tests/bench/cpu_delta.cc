// Measures the gated delta rule: single tokens against the rate at which memory can be updated in
// place, prompts against the machine's multiply-adds and against the recurrent form on the same
// prompt.
//
// Everything in one run: rounds of all measurements one after the other, medians over the rounds.
// Single tokens cycle through more states than the caches hold, as the layers of a model do.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/cpu/gated_delta.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/ops/gated_delta.h"
#include "kernels/tensor.h"
#include "tests/bench/machine_rates.h"
#include "tests/bench/measurement.h"

namespace winnow::bench {
namespace {

struct Options {
  int threads = 2;
  int rounds = 7;
  int working_set_mib = 512;
  int prompt_rows = 512;
  std::vector<int> batches = {1, 16};
  std::vector<int> piece_rows = {4, 8, 12, 16, 24, 32, 64};
};

struct Shape {
  int64_t heads;
  int64_t key_dim;
  int64_t value_dim;

  int64_t state_size() const { return heads * key_dim * value_dim; }
};

constexpr Shape kShapes[] = {{8, 128, 128}, {8, 256, 256}, {4, 32, 64}};
constexpr int64_t kMaxRows = 4096;

std::vector<float> RandomFloats(int64_t size, float low, float high) {
  std::minstd_rand rng(1);
  std::uniform_real_distribution<float> draw(low, high);
  std::vector<float> values(size);
  for (float& x : values) x = draw(rng);
  return values;
}

// Inputs for any of the shapes, and the states.
struct Memory {
  explicit Memory(const Options& options)
      : qk(RandomFloats(kMaxRows * 8 * 256, -1, 1)),
        v(RandomFloats(kMaxRows * 8 * 256, -1, 1)),
        gates(RandomFloats(kMaxRows * 8, -2, 2)),
        out(kMaxRows * 8 * 256),
        states(RandomFloats(int64_t{options.working_set_mib} << 18, -1, 1)),
        a_log(8, -1.0f),
        dt_bias(8, -2.0f) {}

  std::vector<float> qk, v, gates, out, states, a_log, dt_bias;
};

// `batch` sequences of `rows` rows each. Slots follow each other through the whole of the states.
class Rule {
 public:
  Rule(cpu::ThreadPool& pool, Memory& memory, const Shape& shape, int64_t batch, int64_t rows,
       cpu::DeltaForm form)
      : memory_(memory),
        shape_(shape),
        batch_(batch),
        rows_(rows),
        measurement_([this, &pool, form] { Step(pool, form); }) {
    for (int64_t b = 0; b <= batch; ++b) offsets_.push_back(b * rows);
    for (int64_t t = 0; t < batch * rows; ++t) positions_.push_back(t % rows);
    slots_.resize(batch);
  }
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;

  Measurement& measurement() { return measurement_; }
  double seconds() const { return measurement_.MedianSeconds(); }
  double state_bytes() const { return 2.0 * batch_ * shape_.state_size() * sizeof(float); }

 private:
  void Step(cpu::ThreadPool& pool, cpu::DeltaForm form) {
    const int64_t num_slots = static_cast<int64_t>(memory_.states.size()) / shape_.state_size();
    for (int32_t& slot : slots_) slot = next_slot_++ % num_slots;
    const int64_t t = batch_ * rows_;
    const auto key =
        TensorView::Of(memory_.qk.data(), DType::kF32, {t, shape_.heads, shape_.key_dim});
    const auto value =
        TensorView::Of(memory_.v.data(), DType::kF32, {t, shape_.heads, shape_.value_dim});
    GatedDeltaArgs args;
    args.batch = {.num_tokens = t,
                  .num_sequences = batch_,
                  .max_tokens_per_sequence = rows_,
                  .positions = positions_.data(),
                  .row_offsets = offsets_.data(),
                  .slots = slots_.data()};
    args.q = args.k = key;
    args.v = value;
    args.a = args.b = TensorView::Of(memory_.gates.data(), DType::kF32, {t, shape_.heads});
    args.a_log = memory_.a_log.data();
    args.dt_bias = memory_.dt_bias.data();
    args.state = {.base = reinterpret_cast<std::byte*>(memory_.states.data()),
                  .slot_stride_bytes = shape_.state_size() * static_cast<int64_t>(sizeof(float))};
    args.out = TensorView::Of(memory_.out.data(), DType::kF32, {t, shape_.heads, shape_.value_dim});
    cpu::GatedDeltaInForm(pool, args, form);
  }

  Memory& memory_;
  Shape shape_;
  int64_t batch_, rows_;
  int64_t next_slot_ = 0;
  std::vector<int32_t> offsets_, slots_;
  std::vector<int64_t> positions_;
  Measurement measurement_;
};

// Both forms on the same rows of one sequence.
struct Pair {
  Pair(cpu::ThreadPool& pool, Memory& memory, const Shape& shape, int64_t rows)
      : shape(shape),
        rows(rows),
        recurrent(pool, memory, shape, 1, rows, cpu::DeltaForm::kRecurrent),
        chunked(pool, memory, shape, 1, rows, cpu::DeltaForm::kChunked) {}

  // Multiply-adds of the chunked form, in whole chunks of 16 rows.
  double multiply_adds() const {
    constexpr double kChunk = 16;
    return rows * shape.heads *
           (3.0 * shape.key_dim * shape.value_dim + kChunk * (shape.key_dim + shape.value_dim));
  }

  Shape shape;
  int64_t rows;
  Rule recurrent, chunked;
};

// Reads and writes the states once, in place, as plainly as can be.
void UpdateAll(cpu::ThreadPool& pool, std::vector<float>& states) {
  constexpr int64_t kBlock = 1 << 18;
  pool.Run(states.size() / kBlock, [&](int64_t task, int) {
    float* x = states.data() + task * kBlock;
    for (int64_t i = 0; i < kBlock; ++i) x[i] = -x[i];
  });
}

void Run(const Options& options) {
  cpu::ThreadPool pool(options.threads);
  Memory memory(options);
  int64_t multiply_adds = 0;
  Measurement update([&] { UpdateAll(pool, memory.states); });
  Measurement multiply_add([&] { multiply_adds = MultiplyAdd(pool, 1'000'000); });
  std::vector<std::unique_ptr<Rule>> decodes;
  std::vector<std::unique_ptr<Pair>> pairs;
  for (const Shape& shape : kShapes) {
    for (const int batch : options.batches) {
      decodes.push_back(
          std::make_unique<Rule>(pool, memory, shape, batch, 1, cpu::DeltaForm::kRecurrent));
    }
    for (const int rows : options.piece_rows) {
      pairs.push_back(std::make_unique<Pair>(pool, memory, shape, rows));
    }
    pairs.push_back(std::make_unique<Pair>(pool, memory, shape, options.prompt_rows));
  }
  for (int round = 0; round < options.rounds; ++round) {
    update.Round();
    multiply_add.Round();
    for (const auto& rule : decodes) rule->measurement().Round();
    for (const auto& pair : pairs) {
      pair->recurrent.measurement().Round();
      pair->chunked.measurement().Round();
    }
  }

  const double update_rate = 2.0 * memory.states.size() * sizeof(float) / update.MedianSeconds();
  const double multiply_add_rate = multiply_adds / multiply_add.MedianSeconds();
  std::printf("%d threads, medians of %d rounds, states cycled through %d MiB\n", options.threads,
              options.rounds, options.working_set_mib);
  std::printf("update in place: %.1f GB/s   float32 multiply-adds: %.1f GFLOP/s\n\n",
              update_rate / 1e9, 2 * multiply_add_rate / 1e9);
  std::printf("single tokens\n%5s %4s %4s %6s %9s %9s %7s %7s\n", "heads", "Dk", "Dv", "batch",
              "us", "MB", "GB/s", "update");
  size_t i = 0;
  for (const Shape& shape : kShapes) {
    for (const int batch : options.batches) {
      const Rule& rule = *decodes[i++];
      const double rate = rule.state_bytes() / rule.seconds();
      std::printf("%5ld %4ld %4ld %6d %9.1f %9.2f %7.1f %6.0f%%\n", shape.heads, shape.key_dim,
                  shape.value_dim, batch, rule.seconds() * 1e6, rule.state_bytes() / 1e6,
                  rate / 1e9, 100 * rate / update_rate);
    }
  }
  std::printf("\nrows of one sequence\n%5s %4s %4s %6s %12s %12s %8s %9s %6s\n", "heads", "Dk",
              "Dv", "rows", "recurrent us", "chunked us", "speed-up", "GFLOP/s", "fma");
  for (const auto& pair : pairs) {
    const double rate = pair->multiply_adds() / pair->chunked.seconds();
    std::printf("%5ld %4ld %4ld %6ld %12.1f %12.1f %8.2f %9.1f %5.0f%%\n", pair->shape.heads,
                pair->shape.key_dim, pair->shape.value_dim, pair->rows,
                pair->recurrent.seconds() * 1e6, pair->chunked.seconds() * 1e6,
                pair->recurrent.seconds() / pair->chunked.seconds(), 2 * rate / 1e9,
                100 * rate / multiply_add_rate);
  }
}

}  // namespace

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "The gated delta rule: single tokens (bytes of state per second, beside those of an update "
      "in place) and prompts\n"
      "(multiply-adds of the chunked form per second, beside the machine's; speed-up over the "
      "recurrent form).");
  app.add_option("--threads", options.threads, "threads of every measurement")
      ->check(CLI::Range(1, 1024));
  app.add_option("--rounds", options.rounds, "rounds; medians are printed")
      ->check(CLI::Range(1, 1000));
  app.add_option("--working_set_mib", options.working_set_mib, "states to cycle through")
      ->check(CLI::Range(16, 1 << 16));
  app.add_option("--batches", options.batches, "sequences with one token each")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app.add_option("--piece_rows", options.piece_rows, "rows at which both forms are compared")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  app.add_option("--prompt_rows", options.prompt_rows, "rows of the prompt")
      ->check(CLI::Range(1, 4096));
  CLI11_PARSE(app, argc, argv);
  Run(options);
  return 0;
}

}  // namespace winnow::bench

int main(int argc, char** argv) { return winnow::bench::Main(argc, argv); }
