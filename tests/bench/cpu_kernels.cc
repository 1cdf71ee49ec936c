// Measures Linear on the shapes of a 0.4B model against what the machine can do and against
// oneDNN's sgemm.
//
// Everything in one run: rounds of all measurements one after the other, medians over the rounds.
// Weights are cycled through a working set that no cache holds, so that every product reads them
// from memory as a model's step does.
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/check.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/dtype.h"
#include "kernels/ops/dense.h"
#include "kernels/tensor.h"
#include "kernels/weight_matrix.h"
#include "tests/bench/machine_rates.h"
#include "tests/bench/measurement.h"
#include "tests/bench/sgemm_peer.h"

namespace winnow::bench {
namespace {

struct Options {
  int threads = 2;
  int rounds = 7;
  int working_set_mib = 1024;
  bool huge_pages = false;
  bool peer = true;
  std::vector<int> rows = {1, 8, 64, 256};
};

struct Shape {
  const char* what;
  int64_t n;
  int64_t k;
};

// hidden 1024, MLP 2816, vocabulary 32000.
constexpr Shape kShapes[] = {
    {"projection", 1024, 1024},
    {"gate, up", 2816, 1024},
    {"down", 1024, 2816},
    {"head", 32000, 1024},
};

// Anonymous memory on pages of the usual size (as a mapped file has them) or on huge ones.
class Memory {
 public:
  Memory(int64_t size, bool huge_pages) : size_(size) {
    void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    WINNOW_CHECK(p != MAP_FAILED) << "no memory for " << size << " bytes";
    data_ = static_cast<std::byte*>(p);
    madvise(p, size, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  ~Memory() { munmap(data_, size_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  int64_t size_;
};

// One shape with one number of rows, by Linear and by oneDNN.
class Product {
 public:
  Product(const Shape& shape, int64_t num_rows, cpu::ThreadPool& pool, const Memory& bf16,
          const Memory* f32, float* x, float* out)
      : shape_(shape),
        num_rows_(num_rows),
        linear_([this, &pool, &bf16, x, out] { RunLinear(pool, bf16, x, out); }),
        peer_([this, f32, x, out] { RunPeer(*f32, x, out); }) {}

  Measurement& linear() { return linear_; }
  Measurement& peer() { return peer_; }

  double flops() const { return 2.0 * num_rows_ * shape_.n * shape_.k; }
  // Weights once, activations and results once.
  double bytes() const {
    return 2.0 * shape_.n * shape_.k + 4.0 * num_rows_ * (shape_.n + shape_.k);
  }

  void Print(double read_rate, double multiply_add_rate, bool with_peer) const {
    const double seconds = linear_.MedianSeconds();
    std::printf("%-10s %6ld %5ld %4ld %9.1f %9.2f %7.1f %5.0f%% %9.1f %5.0f%%", shape_.what,
                shape_.n, shape_.k, num_rows_, seconds * 1e6, bytes() / 1e6,
                bytes() / seconds / 1e9, 100 * bytes() / seconds / read_rate,
                flops() / seconds / 1e9, 100 * flops() / 2 / seconds / multiply_add_rate);
    if (with_peer) {
      const double peer_seconds = peer_.MedianSeconds();
      std::printf(" %9.1f %6.2f", flops() / peer_seconds / 1e9, peer_seconds / seconds);
    }
    std::printf("\n");
  }

 private:
  // The next weight of this shape in the working set, which starts over when it ends.
  template <typename T>
  T* NextWeight(const Memory& memory) {
    const int64_t size = shape_.n * shape_.k;
    if ((next_ + 1) * size * static_cast<int64_t>(sizeof(T)) > memory.size()) next_ = 0;
    return memory.as<T>() + next_++ * size;
  }

  void RunLinear(cpu::ThreadPool& pool, const Memory& bf16, float* x, float* out) {
    LinearArgs args;
    args.x = TensorView::Of(x, DType::kF32, {num_rows_, shape_.k});
    args.weight.data = NextWeight<BF16>(bf16);
    args.weight.rows = shape_.n;
    args.weight.cols = shape_.k;
    args.out = TensorView::Of(out, DType::kF32, {num_rows_, shape_.n});
    cpu::Linear(pool, args);
  }
  void RunPeer(const Memory& f32, const float* x, float* out) {
    SgemmPeer(x, NextWeight<float>(f32), out, num_rows_, shape_.n, shape_.k);
  }

  Shape shape_;
  int64_t num_rows_;
  int64_t next_ = 0;
  Measurement linear_;
  Measurement peer_;
};

// Small random weights and activations: no denormals, no infinities.
void Fill(const Memory& bf16, const Memory* f32, const Memory& x) {
  std::minstd_rand rng(1);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<float> some(1 << 16);
  for (float& value : some) value = draw(rng);
  for (int64_t i = 0; i < bf16.size() / 2; ++i) bf16.as<BF16>()[i] = ToBF16(some[i & 0xffff]);
  for (int64_t i = 0; f32 != nullptr && i < f32->size() / 4; ++i)
    f32->as<float>()[i] = some[i & 0xffff];
  for (int64_t i = 0; i < x.size() / 4; ++i) x.as<float>()[i] = some[(i * 7) & 0xffff];
}

void Run(const Options& options) {
  cpu::ThreadPool pool(options.threads);
  SetSgemmPeerThreads(options.threads);
  const int64_t set_bytes = int64_t{options.working_set_mib} << 20;
  const Memory bf16(set_bytes, options.huge_pages);
  std::unique_ptr<Memory> f32;
  if (options.peer) f32 = std::make_unique<Memory>(set_bytes, options.huge_pages);
  const int64_t max_rows = *std::max_element(options.rows.begin(), options.rows.end());
  const Memory x(max_rows * 2816 * sizeof(float), false),
      out(max_rows * 32000 * sizeof(float), false);
  Fill(bf16, f32.get(), x);

  int64_t multiply_adds = 0;
  uint32_t sum = 0;
  Measurement read([&] { sum += ReadAll(pool, {bf16.data(), static_cast<size_t>(bf16.size())}); });
  Measurement multiply_add([&] { multiply_adds = MultiplyAdd(pool, 1'000'000); });
  std::vector<std::unique_ptr<Product>> products;
  for (const Shape& shape : kShapes) {
    for (const int rows : options.rows) {
      products.push_back(std::make_unique<Product>(shape, rows, pool, bf16, f32.get(),
                                                   x.as<float>(), out.as<float>()));
    }
  }
  for (int round = 0; round < options.rounds; ++round) {
    read.Round();
    multiply_add.Round();
    for (const auto& product : products) product->linear().Round();
    for (const auto& product : products) {
      if (options.peer) product->peer().Round();
    }
  }

  const double read_rate = bf16.size() / read.MedianSeconds();
  const double multiply_add_rate = multiply_adds / multiply_add.MedianSeconds();
  std::printf("%d threads, %s pages, medians of %d rounds (checksum %u)\n", options.threads,
              options.huge_pages ? "huge" : "small", options.rounds, sum);
  std::printf("read bandwidth: %.1f GB/s   float32 multiply-adds: %.1f GFLOP/s\n\n",
              read_rate / 1e9, 2 * multiply_add_rate / 1e9);
  std::printf("%-10s %6s %5s %4s %9s %9s %7s %6s %9s %6s", "Linear", "N", "K", "T", "us", "MB",
              "GB/s", "read", "GFLOP/s", "fma");
  std::printf(options.peer ? " %9s %6s\n" : "\n", "sgemm", "times");
  for (const auto& product : products) product->Print(read_rate, multiply_add_rate, options.peer);
}

}  // namespace

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Linear on the shapes of a 0.4B model: bytes and multiply-adds per second, beside the "
      "machine's own rates\n"
      "and oneDNN's sgemm on float32 weights (times: Linear's speed relative to it).");
  app.add_option("--threads", options.threads, "threads of every measurement")
      ->check(CLI::Range(1, 1024));
  app.add_option("--rounds", options.rounds, "rounds; medians are printed")
      ->check(CLI::Range(1, 1000));
  app.add_option("--rows", options.rows, "numbers of rows (T)")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  app.add_option("--working_set_mib", options.working_set_mib,
                 "weights to cycle through; twice that for both kinds")
      ->check(CLI::Range(256, 1 << 16));
  app.add_flag("--huge_pages", options.huge_pages,
               "weights on huge pages (a mapped file has small ones)");
  app.add_flag("--peer,!--no_peer", options.peer, "measure oneDNN too");
  CLI11_PARSE(app, argc, argv);
  Run(options);
  return 0;
}

}  // namespace winnow::bench

int main(int argc, char** argv) { return winnow::bench::Main(argc, argv); }
