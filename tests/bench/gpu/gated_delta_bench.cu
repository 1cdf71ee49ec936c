// Speed of the gated delta rule's kernels against a device copy measured in the same run.
//
//   gated_delta_bench [--product_tflops=X] [decode] [ring] [prompt] [f32]     (all where none is
//   named)
//
// Every figure: a CUDA graph of launches that walk at least 4 distinct sets of states and inputs of
// together 512 MB or more, so that none comes from the L2 cache; replayed, timed with events, the
// median of 9 replays, divided by the launches. The gaps between a graph's kernels are in it. All
// values are random. Bytes are what the kernel must move at least: states and what is read and
// written of the rows, once.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/gated_delta.h"
#include "tests/bench/gpu/measure.cuh"

namespace winnow::cuda {
namespace {

struct Heads {
  int64_t heads;
  int64_t key_dim;
  int64_t value_dim;

  int64_t state_size() const { return heads * key_dim * value_dim; }
  // Elements of one row's q, k, v, out, a and b.
  int64_t row_size() const { return heads * (2 * key_dim + 2 * value_dim + 2); }
};

// `num_sets` batches of num_sequences sequences with num_rows bf16 rows each, every sequence with a
// slot of its own, scattered.
class Batches {
 public:
  // `ring_length`: 0 for none.
  Batches(const Heads& n, int64_t num_sequences, int64_t num_rows, int64_t num_sets,
          DType state_dtype, int64_t ring_length = 0)
      : n_(n),
        num_sequences_(num_sequences),
        num_rows_(num_rows),
        state_dtype_(state_dtype),
        ring_length_(ring_length) {
    const int64_t tokens = num_sequences * num_rows, all = tokens * num_sets;
    q_ = Memory::Random(DType::kBF16, all * n.heads * n.key_dim, -2, 3);
    k_ = Memory::Random(DType::kBF16, all * n.heads * n.key_dim, -1, 2);
    v_ = Memory::Random(DType::kBF16, all * n.heads * n.value_dim, -2, 2);
    out_ = Memory::Random(DType::kBF16, all * n.heads * n.value_dim, -2, 2);
    a_ = Memory::Random(DType::kBF16, all * n.heads, -3, 3);
    b_ = Memory::Random(DType::kBF16, all * n.heads, -4, 4);
    a_log_ = Memory::Random(DType::kF32, n.heads, -3, 1);
    dt_bias_ = Memory::Random(DType::kF32, n.heads, -4, 1);
    // Two such bf16 are also one float in that range.
    states_ = Memory::Random(DType::kBF16, num_sets * num_sequences * slot_bytes() / 2, -1, 0);
    if (ring_length > 0) counts_ = std::make_unique<Memory>(Counts(num_sets * num_sequences));
    std::vector<int32_t> slots(num_sets * num_sequences), offsets(num_sequences + 1);
    // A stride without a common divisor with the number of slots scatters them.
    int64_t stride = static_cast<int64_t>(slots.size() * 0.618) | 1;
    while (std::gcd(stride, static_cast<int64_t>(slots.size())) != 1) stride += 2;
    for (size_t i = 0; i < slots.size(); ++i) {
      slots[i] = static_cast<int32_t>(i * stride % slots.size());
    }
    for (int64_t i = 0; i <= num_sequences; ++i) offsets[i] = static_cast<int32_t>(i * num_rows);
    std::vector<int64_t> positions(tokens);
    for (int64_t i = 0; i < tokens; ++i) positions[i] = i % num_rows;
    slots_ = std::make_unique<Memory>(slots);
    offsets_ = std::make_unique<Memory>(offsets);
    positions_ = std::make_unique<Memory>(positions);
  }

  GatedDeltaArgs Args(int64_t set) const {
    const int64_t tokens = num_sequences_ * num_rows_;
    const auto rows = [&](const Memory& memory, int64_t heads, int64_t dim) {
      return TensorView::Of(memory.as<BF16>() + set * tokens * heads * dim, DType::kBF16,
                            {tokens, heads, dim});
    };
    return {.batch = {.num_tokens = tokens,
                      .num_sequences = num_sequences_,
                      .max_tokens_per_sequence = num_rows_,
                      .positions = positions_->as<int64_t>(),
                      .row_offsets = offsets_->as<int32_t>(),
                      .slots = slots_->as<int32_t>() + set * num_sequences_},
            .q = rows(*q_, n_.heads, n_.key_dim),
            .k = rows(*k_, n_.heads, n_.key_dim),
            .v = rows(*v_, n_.heads, n_.value_dim),
            .a = rows(*a_, n_.heads, 1),
            .b = rows(*b_, n_.heads, 1),
            .a_log = a_log_->as<float>(),
            .dt_bias = dt_bias_->as<float>(),
            .beta_scale = 1,
            .state = {.base = states_->as<std::byte>(), .slot_stride_bytes = slot_bytes()},
            .state_dtype = state_dtype_,
            .ring = ring_length_ > 0 ? std::optional(Ring(set)) : std::nullopt,
            .out = rows(*out_, n_.heads, n_.value_dim)};
  }

 private:
  // S, then the ring's values, decays and keys.
  int64_t values_at() const { return n_.state_size() * DTypeBytes(state_dtype_); }
  int64_t decays_at() const { return values_at() + ring_length_ * n_.heads * n_.value_dim * 4; }
  int64_t keys_at() const { return decays_at() + ring_length_ * n_.heads * 4; }
  int64_t slot_bytes() const { return keys_at() + ring_length_ * n_.heads * n_.key_dim * 2; }

  // All phases, evenly.
  std::vector<int32_t> Counts(int64_t num_slots) const {
    std::vector<int32_t> counts(num_slots);
    for (int64_t i = 0; i < num_slots; ++i) counts[i] = static_cast<int32_t>(i % ring_length_);
    return counts;
  }
  DeltaRing Ring(int64_t set) const {
    const auto field = [&](int64_t offset) {
      return SlotField{.base = states_->as<std::byte>() + offset,
                       .slot_stride_bytes = slot_bytes()};
    };
    return {.length = ring_length_,
            .counts = counts_->as<int32_t>() + set * num_sequences_,
            .values = field(values_at()),
            .decays = field(decays_at()),
            .keys = field(keys_at())};
  }

  const Heads n_;
  const int64_t num_sequences_;
  const int64_t num_rows_;
  const DType state_dtype_;
  const int64_t ring_length_;
  std::unique_ptr<Memory> q_, k_, v_, out_, a_, b_, a_log_, dt_bias_, states_, counts_;
  std::unique_ptr<Memory> slots_, offsets_, positions_;
};

std::string Name(const char* kind, const Heads& n, int64_t sequences, int64_t rows) {
  char name[96];
  std::snprintf(name, sizeof(name), "%s %ldx%ldx%ld %ld x %ld", kind, n.heads, n.key_dim,
                n.value_dim, sequences, rows);
  return name;
}

double BenchDecode(const Heads& n, int64_t batch, DType state_dtype, double copy_rate) {
  const int64_t state_bytes = batch * n.state_size() * DTypeBytes(state_dtype);
  const int64_t num_sets = NumSets(state_bytes);
  const Batches batches(n, batch, 1, num_sets, state_dtype);
  const double seconds = TimeLaunches(num_sets, [&](int64_t set, cudaStream_t stream) {
    return LaunchGatedDeltaRecurrent(batches.Args(set), {}, stream);
  });
  const double bytes = 2.0 * state_bytes + 2.0 * batch * n.row_size();
  PrintLine(Name(state_dtype == DType::kF32 ? "decode f32" : "decode bf16", n, batch, 1), bytes,
            seconds, copy_rate, "");
  return seconds;
}

// Sequences at all phases of the ring, evenly; they stay there, so every launch folds its share.
void BenchRing(const Heads& n, int64_t batch, int32_t length, double copy_rate,
               double seconds_off) {
  const int64_t state_bytes = batch * n.state_size() * 4;
  const int64_t num_sets = NumSets(state_bytes);
  const Batches batches(n, batch, 1, num_sets, DType::kF32, length);
  const double seconds = TimeLaunches(num_sets, [&](int64_t set, cudaStream_t stream) {
    return LaunchGatedDeltaRing(batches.Args(set), stream);
  });
  // On average (length - 1) / 2 entries read, and (length - 1) / length written.
  const double entry_bytes = n.heads * (2.0 * n.key_dim + 4.0 * n.value_dim + 4);
  const double floor =
      state_bytes * (1 + 1.0 / length) +
      batch * (entry_bytes * ((length - 1) / 2.0 + (length - 1.0) / length) + 2.0 * n.row_size());
  char more[64];
  std::snprintf(more, sizeof(more), "%.2fx the tokens/s of ring off", seconds_off / seconds);
  char kind[32];
  std::snprintf(kind, sizeof(kind), "ring of %d", length);
  PrintLine(Name(kind, n, batch, 1), floor, seconds, copy_rate, more);
}

void BenchPrompt(const Heads& n, int64_t sequences, int64_t rows, bool chunked, double copy_rate,
                 double product_rate) {
  const int64_t tokens = sequences * rows;
  const int64_t row_bytes = 2 * tokens * n.row_size(), state_bytes = sequences * n.state_size() * 4;
  const int64_t num_sets = chunked ? NumSets(row_bytes + state_bytes) : 1;
  const Batches batches(n, sequences, rows, num_sets, DType::kF32);
  const Memory scratch(
      static_cast<int64_t>(GatedDeltaChunkedScratchBytes(tokens, sequences, n.heads)));
  const double seconds = TimeLaunches(num_sets, [&](int64_t set, cudaStream_t stream) {
    const GatedDeltaArgs args = batches.Args(set);
    return chunked ? LaunchGatedDeltaChunked(args, scratch.as<std::byte>(), {}, stream)
                   : LaunchGatedDeltaRecurrent(args, {}, stream);
  });
  const double flops = static_cast<double>(tokens) * n.heads *
                       (6.0 * n.key_dim * n.value_dim + 4.0 * 64 * (n.key_dim + n.value_dim));
  char more[96] = "";
  if (chunked) {
    const int size = std::snprintf(more, sizeof(more), "%6.1f TFLOP/s", flops / seconds * 1e-12);
    if (product_rate > 0) {
      std::snprintf(more + size, sizeof(more) - size, " %4.1f%% of a product",
                    100 * flops / seconds / product_rate);
    }
  }
  PrintLine(Name(chunked ? "prompt" : "prompt by rows", n, sequences, rows),
            row_bytes + 2.0 * state_bytes, seconds, copy_rate, more);
}

constexpr Heads kHeads[] = {{8, 256, 256}, {8, 128, 128}};

void BenchDecodes(bool off, bool on, double copy_rate) {
  for (const Heads& n : kHeads) {
    for (const int64_t batch : {1, 16, 64, 256, 1024}) {
      const double seconds = BenchDecode(n, batch, DType::kF32, copy_rate);
      if (on) BenchRing(n, batch, 16, copy_rate, seconds);
      if (on && (batch == 64 || batch == 256)) {
        for (const int32_t length : {8, 32}) BenchRing(n, batch, length, copy_rate, seconds);
      }
      if (off) BenchDecode(n, batch, DType::kBF16, copy_rate);
    }
  }
}

}  // namespace
}  // namespace winnow::cuda

int main(int argc, char** argv) {
  using namespace winnow::cuda;
  double product_rate = 0;
  std::vector<std::string> names;
  for (int i = 1; i < argc; ++i) {
    constexpr char kProduct[] = "--product_tflops=";
    if (std::strncmp(argv[i], kProduct, sizeof(kProduct) - 1) == 0) {
      product_rate = std::atof(argv[i] + sizeof(kProduct) - 1) * 1e12;
    } else {
      names.push_back(argv[i]);
    }
  }
  const auto wanted = [&](const char* name) {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  };
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, 0), "no device");
  const double copy_rate = CopyRate();
  std::printf("%s: copy %.0f GB/s", properties.name, copy_rate / 1e9);
  if (product_rate > 0) std::printf(", bf16 product %.0f TFLOP/s", product_rate / 1e12);
  std::printf("\n");
  if (wanted("decode") || wanted("ring")) BenchDecodes(wanted("decode"), wanted("ring"), copy_rate);
  if (wanted("prompt")) {
    for (const Heads& n : kHeads) {
      BenchPrompt(n, 1, 4096, true, copy_rate, product_rate);
      BenchPrompt(n, 1, 32768, true, copy_rate, product_rate);
      BenchPrompt(n, 8, 4096, true, copy_rate, product_rate);
    }
  }
  if (wanted("f32")) BenchPrompt(kHeads[0], 1, 4096, false, copy_rate, product_rate);
  return 0;
}
