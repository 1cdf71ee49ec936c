// Speed of the attention kernels against a device copy measured in the same run.
//
//   attention_bench [--product_tflops=X] [decode] [blocks] [prompt]     (all where none is named)
//
// measure.cuh says how a figure is made. Single tokens see a full window and a full buffer; pages
// and slots are scattered. Bytes: keys and values seen and expiries, once, queries and results.
// Prompts begin at position 0; their expiries come from Departures over random scores. Flops: 4 D
// for every query head and key that it sees.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/departures.h"
#include "kernels/cuda/write_kv.h"
#include "tests/bench/gpu/measure.cuh"

namespace winnow::cuda {
namespace {

constexpr int64_t kPageTokens = 16;

struct Layer {
  int64_t query_heads, kv_heads, dim;
  int64_t span;    // V; without a buffer the length of full attention
  int64_t buffer;  // K

  int64_t entries(int64_t places) const { return (places + kPageTokens - 1) / kPageTokens; }
  int64_t table_entries() const { return kv_heads * (entries(span) + entries(buffer)); }
  int64_t group() const { return query_heads / kv_heads; }
};

// The published 1.4B model with learned eviction, the same with heads of 128, full attention.
constexpr Layer kEviction = {32, 8, 64, 769, 512};
constexpr Layer kWideEviction = {32, 8, 128, 769, 512};
constexpr Layer kFull = {32, 8, 64, 8193, 0};

std::unique_ptr<Memory> Zeros(int64_t bytes) {
  auto memory = std::make_unique<Memory>(bytes);
  Check(cudaMemset(memory->as<void>(), 0, bytes), "zero");
  return memory;
}

// `count` numbers from `first` on in random order.
std::vector<int32_t> Shuffled(int64_t count, int32_t first) {
  std::vector<int32_t> values(count);
  std::iota(values.begin(), values.end(), first);
  std::mt19937_64 rng(count);
  std::shuffle(values.begin(), values.end(), rng);
  return values;
}

// `num_sets` steps of num_sequences sequences with num_rows rows each, all with pages of their own.
class Steps {
 public:
  Steps(const Layer& layer, DType dtype, int64_t num_sequences, int64_t num_rows,
        int64_t first_position, int64_t num_sets)
      : n_(layer), dtype_(dtype), sequences_(num_sequences), rows_(num_rows) {
    const int64_t tokens = num_sequences * num_rows, all = tokens * num_sets;
    const int64_t slots = num_sets * num_sequences, lists = slots * n_.kv_heads;
    q_ = Memory::Random(dtype, all * n_.query_heads * n_.dim, -2, 2);
    out_ = Memory::Random(dtype, all * n_.query_heads * n_.dim, -2, 2);
    k_ = Memory::Random(dtype, all * n_.kv_heads * n_.dim, -1, 1);
    v_ = Memory::Random(dtype, all * n_.kv_heads * n_.dim, -2, 2);
    const int64_t pages = slots * n_.table_entries();
    pool_ = Memory::Random(dtype, (pages + 1) * 2 * kPageTokens * n_.dim, -1, 1);
    tables_ = std::make_unique<Memory>(Shuffled(pages, 1));  // page 0 belongs to nobody
    slots_ = std::make_unique<Memory>(Shuffled(slots, 0));
    std::vector<int32_t> offsets(num_sequences + 1);
    for (int64_t i = 0; i <= num_sequences; ++i) offsets[i] = static_cast<int32_t>(i * num_rows);
    std::vector<int64_t> positions(tokens);
    for (int64_t i = 0; i < tokens; ++i) positions[i] = first_position + i % num_rows;
    offsets_ = std::make_unique<Memory>(offsets);
    positions_ = std::make_unique<Memory>(positions);

    kept_before_ = std::make_unique<Memory>(
        std::vector<int32_t>(lists, static_cast<int32_t>(first_position > 0 ? n_.buffer : 0)));
    kept_expiry_ = std::make_unique<Memory>(
        std::vector<int64_t>(std::max<int64_t>(1, lists * n_.buffer), kNeverExpires));
    std::vector<int64_t> ring_expiry(n_.buffer > 0 ? lists * n_.span : 1, 0);
    for (int64_t j = std::max<int64_t>(0, first_position - n_.span); j < first_position; ++j) {
      for (int64_t list = 0; n_.buffer > 0 && list < lists; ++list) {
        ring_expiry[list * n_.span + j % n_.span] = j + n_.span;
      }
    }
    ring_expiry_ = std::make_unique<Memory>(ring_expiry);
    chunk_expiry_ =
        std::make_unique<Memory>(std::vector<int64_t>(all * n_.kv_heads, kNeverExpires));
    source_ = std::make_unique<Memory>(
        std::vector<int64_t>(std::max<int64_t>(1, lists * n_.buffer), kUnchanged));
    scores_ = Memory::Random(DType::kF32, all * n_.kv_heads, -0.5f, 0.5f);
    score_ring_ = Zeros(lists * n_.span * 4);
    kept_count_ = Zeros(lists * 4);
    kept_score_ = Zeros(lists * n_.buffer * 4 + 4);
    kept_position_ = Zeros(lists * n_.buffer * 8 + 8);
    plans_.resize(num_sets);
    for (int64_t set = 0; set < num_sets; ++set) plans_[set] = PlanOf(set);
  }

  RaggedBatch Batch(int64_t set) const {
    return {.num_tokens = sequences_ * rows_,
            .num_sequences = sequences_,
            .max_tokens_per_sequence = rows_,
            .positions = positions_->as<int64_t>(),
            .row_offsets = offsets_->as<int32_t>(),
            .slots = slots_->as<int32_t>() + set * sequences_};
  }
  LayerPages Pages() const {
    LayerPages pages;
    pages.pool = pool_->as<std::byte>();
    pages.page_bytes = 2 * kPageTokens * n_.dim * DTypeBytes(dtype_);
    pages.page_tokens = kPageTokens;
    pages.head_dim = n_.dim;
    pages.num_kv_heads = n_.kv_heads;
    pages.dtype = dtype_;
    pages.tables = tables_->as<int32_t>();
    pages.table_stride = n_.table_entries();
    pages.ring_tokens = n_.span;
    pages.ring_entries_per_head = n_.entries(n_.span);
    pages.kept_first_entry = n_.kv_heads * pages.ring_entries_per_head;
    pages.kept_entries_per_head = n_.entries(n_.buffer);
    return pages;
  }
  AttentionArgs Args(int64_t set) const {
    return {.batch = Batch(set),
            .q = Rows(*q_, set, n_.query_heads),
            .k = Rows(*k_, set, n_.kv_heads),
            .v = Rows(*v_, set, n_.kv_heads),
            .pages = Pages(),
            .span = n_.buffer > 0 ? n_.span : kNeverExpires,
            .plan = n_.buffer > 0 ? &plans_[set] : nullptr,
            .buffer_size = n_.buffer,
            .out = Rows(*out_, set, n_.query_heads)};
  }

  // Departures of new sequences, whatever the slots held before.
  cudaError_t Depart(int64_t set, cudaStream_t stream) const {
    const int64_t lists = sequences_ * n_.kv_heads;
    const auto field = [&](const Memory& memory, int64_t bytes) {
      return SlotField{.base = memory.as<std::byte>(), .slot_stride_bytes = n_.kv_heads * bytes};
    };
    const cudaError_t error = cudaMemsetAsync(kept_count_->as<void>(), 0,
                                              lists * plans_.size() * sizeof(int32_t), stream);
    if (error != cudaSuccess) return error;
    return LaunchDepartures(
        {.batch = Batch(set),
         .scores = TensorView::Of(scores_->as<float>() + set * sequences_ * rows_ * n_.kv_heads,
                                  DType::kF32, {sequences_ * rows_, n_.kv_heads}),
         .margin = 6,
         .span = n_.span,
         .buffer_size = n_.buffer,
         .sink_size = 4,
         .num_kv_heads = n_.kv_heads,
         .score_ring = field(*score_ring_, n_.span * 4),
         .kept_count = field(*kept_count_, 4),
         .kept_score = field(*kept_score_, n_.buffer * 4),
         .kept_position = field(*kept_position_, n_.buffer * 8),
         .plan = plans_[set]},
        stream);
  }
  cudaError_t Write(int64_t set, cudaStream_t stream) const {
    const AttentionArgs args = Args(set);
    return LaunchWriteKv({.batch = args.batch,
                          .k = args.k,
                          .v = args.v,
                          .pages = args.pages,
                          .plan = args.plan,
                          .buffer_size = args.buffer_size},
                         stream);
  }

  // Pairs of a row and a key of a kv head that it sees, of the first set; prompts at position 0.
  double SeenPairs() const {
    std::vector<int64_t> expiry(sequences_ * rows_ * n_.kv_heads);
    Check(cudaMemcpy(expiry.data(), chunk_expiry_->as<void>(), expiry.size() * 8,
                     cudaMemcpyDeviceToHost),
          "expiries");
    double pairs = 0;
    for (size_t i = 0; i < expiry.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / n_.kv_heads % rows_;
      pairs += static_cast<double>(std::min(rows_, expiry[i]) - row);
    }
    return pairs;
  }

 private:
  TensorView Rows(const Memory& memory, int64_t set, int64_t heads) const {
    const int64_t tokens = sequences_ * rows_;
    return TensorView::Of(
        memory.as<std::byte>() + set * tokens * heads * n_.dim * DTypeBytes(dtype_), dtype_,
        {tokens, heads, n_.dim});
  }
  KeptPlan PlanOf(int64_t set) const {
    const int64_t lists = set * sequences_ * n_.kv_heads;
    return {.kept_before = kept_before_->as<int32_t>() + lists,
            .kept_expiry = kept_expiry_->as<int64_t>() + lists * n_.buffer,
            .ring_expiry = ring_expiry_->as<int64_t>() + (n_.buffer > 0 ? lists * n_.span : 0),
            .chunk_expiry = chunk_expiry_->as<int64_t>() + lists * rows_,
            .source = source_->as<int64_t>() + lists * n_.buffer};
  }

  const Layer n_;
  const DType dtype_;
  const int64_t sequences_, rows_;
  std::unique_ptr<Memory> q_, k_, v_, out_, pool_, tables_, slots_, offsets_, positions_;
  std::unique_ptr<Memory> kept_before_, kept_expiry_, ring_expiry_, chunk_expiry_, source_;
  std::unique_ptr<Memory> scores_, score_ring_, kept_count_, kept_score_, kept_position_;
  std::vector<KeptPlan> plans_;
};

std::string Name(const char* kind, const Layer& n, int64_t sequences, int64_t rows) {
  char name[96];
  std::snprintf(name, sizeof(name), "%s %ld/%ldx%ld %ld x %ld", kind, n.query_heads, n.kv_heads,
                n.dim, sequences, rows);
  return name;
}

void BenchDecode(const Layer& n, DType dtype, int64_t batch, std::vector<int32_t> blocks,
                 double copy_rate) {
  // The oldest token of a window has just left it.
  const int64_t keys = n.buffer > 0 ? n.span + n.buffer : n.span;
  const int64_t row_bytes = 2 * (n.query_heads + n.kv_heads) * n.dim * DTypeBytes(dtype);
  const int64_t bytes =
      batch *
      (n.kv_heads * keys * (2 * n.dim * DTypeBytes(dtype) + (n.buffer > 0 ? 8 : 0)) + row_bytes);
  const int64_t num_sets = NumSets(bytes);
  const Steps steps(n, dtype, batch, 1, n.buffer > 0 ? 5000 : n.span - 1, num_sets);
  const auto scratch = Zeros(AttentionScratchBytes(batch, n.query_heads, n.kv_heads, n.dim));
  const AttentionScratch memory = {scratch->as<std::byte>(),
                                   AttentionScratchBytes(batch, n.query_heads, n.kv_heads, n.dim)};
  if (blocks.empty()) blocks = {AttentionRowsBlocks(steps.Args(0), 1)};
  for (const int32_t count : blocks) {
    const double seconds = TimeLaunches(num_sets, [&](int64_t set, cudaStream_t stream) {
      return LaunchAttentionRows(steps.Args(set), memory, 1, count, stream);
    });
    char kind[48];
    std::snprintf(kind, sizeof(kind), "%s %s in %d", dtype == DType::kF32 ? "f32" : "decode",
                  n.buffer > 0 ? "evict" : "full", count);
    PrintLine(Name(kind, n, batch, 1), static_cast<double>(bytes), seconds, copy_rate, "");
  }
}

void BenchPrompt(const Layer& n, int64_t sequences, int64_t rows, double copy_rate,
                 double product_rate) {
  const int64_t bytes = sequences * rows * 4 * (n.query_heads + n.kv_heads) * n.dim;
  const int64_t num_sets = NumSets(bytes);
  Layer own = n;
  if (n.buffer == 0) own.span = rows;
  const Steps steps(own, DType::kBF16, sequences, rows, 0, num_sets);
  for (int64_t set = 0; n.buffer > 0 && set < num_sets; ++set) {
    Check(steps.Depart(set, nullptr), "departures");
  }
  Check(cudaDeviceSynchronize(), "departures");
  const double flops = steps.SeenPairs() * n.group() * 4 * n.dim;
  const auto attend = [&](int64_t set, cudaStream_t stream) {
    return LaunchAttentionTiles(steps.Args(set), 1, stream);
  };
  const double seconds = TimeLaunches(num_sets, attend);
  char more[96];
  const int size = std::snprintf(more, sizeof(more), "%6.1f TFLOP/s", flops / seconds * 1e-12);
  if (product_rate > 0) {
    std::snprintf(more + size, sizeof(more) - size, " %4.1f%% of a product",
                  100 * flops / seconds / product_rate);
  }
  PrintLine(Name(n.buffer > 0 ? "prompt evict" : "prompt full", n, sequences, rows),
            static_cast<double>(bytes), seconds, copy_rate, more);
  if (n.buffer == 0) return;
  const double depart = TimeLaunches(
      num_sets, [&](int64_t set, cudaStream_t stream) { return steps.Depart(set, stream); });
  const double write = TimeLaunches(
      num_sets, [&](int64_t set, cudaStream_t stream) { return steps.Write(set, stream); });
  std::printf("  departures %.2f us, writing keys and values %.2f us\n", depart * 1e6, write * 1e6);
}

}  // namespace
}  // namespace winnow::cuda

int main(int argc, char** argv) {
  using namespace winnow::cuda;  // NOLINT: the program's own
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
  if (wanted("decode")) {
    using winnow::DType;
    for (const int64_t batch : {1, 16, 64, 256, 1024}) {
      BenchDecode(kEviction, DType::kBF16, batch, {}, copy_rate);
    }
    BenchDecode(kEviction, DType::kF32, 64, {}, copy_rate);
    for (const int64_t batch : {64, 256}) {
      BenchDecode(kWideEviction, DType::kBF16, batch, {}, copy_rate);
    }
    for (const int64_t batch : {1, 16}) {
      BenchDecode(kFull, DType::kBF16, batch, {}, copy_rate);
    }
  }
  if (wanted("blocks")) {
    for (const int64_t batch : {1, 16, 64, 256}) {
      BenchDecode(kEviction, winnow::DType::kBF16, batch, {1, 2, 3, 4}, copy_rate);
    }
  }
  if (wanted("prompt")) {
    for (const Layer& layer : {kEviction, kWideEviction, kFull}) {
      BenchPrompt(layer, 1, 4096, copy_rate, product_rate);
      BenchPrompt(layer, 8, 4096, copy_rate, product_rate);
    }
  }
  return 0;
}
