// Measures the CUDA backend's ops one by one on the shapes of the 1.4B LTE model: time, bytes moved
// at least, GB/s and share of a device copy measured in the same run.
//
// Each op is recorded in a CUDA graph over several sets of arguments that together exceed the L2
// cache where the op's data can, and replayed: launch gaps between steps do not count, dependencies
// of one kernel on the one before it do. Medians of replays.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "kernels/check.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/cuda/testing/batches.h"
#include "tests/bench/gpu/gpu_bench.h"

namespace winnow::bench {
namespace {

using cuda::TestArray;
using cuda::TestBatch;
using cuda::TestField;
using cuda::TestPages;

constexpr int64_t kHidden = 2048, kIntermediate = 5632, kVocab = 32000;
constexpr int64_t kKvHeads = 8, kHeadDim = 64, kSpan = 769, kBuffer = 512, kContext = 1500;
constexpr int64_t kCopyBytes = int64_t{1} << 30;
constexpr int64_t kSetBytes = int64_t{256} << 20;  // of all sets of a case together, where possible
constexpr int kMaxSets = 32, kMinSets = 4;
constexpr int kReplays = 20;

cuda::CudaBackend& Cuda() { return static_cast<cuda::CudaBackend&>(cuda::CudaFor(DType::kBF16)); }

void Check(const absl::Status& status) { WINNOW_CHECK(status.ok()) << status; }

// Seconds of one run of the work on the device, after one that does not count.
double MedianSeconds(const std::function<absl::Status()>& work) {
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<double> seconds;
  for (int i = -1; i < kReplays; ++i) {
    cudaEventRecord(begin, Cuda().stream());
    Check(work());
    cudaEventRecord(end, Cuda().stream());
    cudaEventSynchronize(end);
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    if (i >= 0) seconds.push_back(ms * 1e-3);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

// Of the work as a graph: the first call of Replay issues it, the second records.
double RecordedSeconds(const std::function<absl::Status()>& issue) {
  const uint64_t key = Cuda().NewReplayKey();
  for (int i = 0; i < 2; ++i) Check(Cuda().Replay(key, issue));
  const double seconds = MedianSeconds([&] { return Cuda().Replay(key, issue); });
  Cuda().ForgetReplay(key);
  return seconds;
}

// Not recorded: as a node of a graph a copy takes another, slower way.
double CopyBytesPerSecond() {
  auto buffer = Cuda().Allocate(2 * kCopyBytes);
  WINNOW_CHECK(buffer.ok()) << buffer.status();
  std::byte* data = buffer->data();
  return 2.0 * kCopyBytes / MedianSeconds([data] {
           cudaMemcpyAsync(data, data + kCopyBytes, kCopyBytes, cudaMemcpyDeviceToDevice,
                           Cuda().stream());
           return absl::OkStatus();
         });
}

// One op on several sets of arguments, which live as long as this runs.
using Op = std::function<absl::Status()>;
void Measure(const std::string& name, int64_t bytes, double copy,
             const std::function<Op(int set)>& make) {
  const int sets = static_cast<int>(std::clamp<int64_t>(kSetBytes / bytes, kMinSets, kMaxSets));
  std::vector<Op> ops;
  for (int i = 0; i < sets; ++i) ops.push_back(make(i));
  const double seconds = RecordedSeconds([&ops] {
                           for (const Op& op : ops) {
                             if (absl::Status status = op(); !status.ok()) return status;
                           }
                           return absl::OkStatus();
                         }) /
                         sets;
  const double rate = static_cast<double>(bytes) / seconds;
  std::printf("%-34s %9.2f us %9.3f MB %8.1f GB/s %5.1f%% of copy\n", name.c_str(), seconds * 1e6,
              static_cast<double>(bytes) / 1e6, rate / 1e9, 100 * rate / copy);
}

// A tensor of random values, which repeat from some point on: large ones are filled on the device.
class Filled {
 public:
  Filled(DType dtype, std::initializer_list<int64_t> shape) {
    view_ = TensorView::Of(nullptr, dtype, shape);
    const int64_t bytes = view_.size() * DTypeBytes(dtype);
    auto memory = Cuda().Allocate(bytes);
    WINNOW_CHECK(memory.ok()) << memory.status();
    memory_ = *std::move(memory);
    view_.raw = memory_.data();
    const int64_t seed_size = std::min(view_.size(), kSeedSize);
    const std::vector<float> values = cuda::RandomFor(DType::kBF16, seed_size, 1);
    Check(Cuda().UploadFloats(memory_.data(), dtype, values.data(), DType::kF32, seed_size));
    for (int64_t done = seed_size * DTypeBytes(dtype); done < bytes;) {
      const int64_t n = std::min(done, bytes - done);
      cudaMemcpyAsync(memory_.data() + done, memory_.data(), n, cudaMemcpyDeviceToDevice,
                      Cuda().stream());
      done += n;
    }
  }
  operator TensorView() const { return view_; }
  const TensorView& view() const { return view_; }

 private:
  static constexpr int64_t kSeedSize = 1 << 16;

  DeviceBuffer memory_;
  TensorView view_;
};

std::shared_ptr<Filled> Tensor(DType dtype, std::initializer_list<int64_t> shape) {
  return std::make_shared<Filled>(dtype, shape);
}

void MeasureDense(int64_t t, double copy) {
  const std::string rows = ", " + std::to_string(t) + " rows";
  Measure("RmsNorm with residual" + rows, t * kHidden * (4 + 4 + 2 + 2), copy, [&](int) -> Op {
    auto x = Tensor(DType::kF32, {t, kHidden}), delta = Tensor(DType::kBF16, {t, kHidden});
    auto out = Tensor(DType::kBF16, {t, kHidden}), weight = Tensor(DType::kF32, {kHidden});
    return [=] {
      return Cuda().RmsNorm({.x = *x,
                             .delta = *delta,
                             .weight = weight->view().data<float>(),
                             .eps = 1e-6f,
                             .out = *out});
    };
  });
  Measure("SwiGlu" + rows, t * kIntermediate * 6, copy, [&](int) -> Op {
    auto gate = Tensor(DType::kBF16, {t, kIntermediate}),
         up = Tensor(DType::kBF16, {t, kIntermediate});
    return [=] { return Cuda().SwiGlu({.gate = *gate, .up = *up, .out = *gate}); };
  });
  for (const auto& [outputs, inputs] :
       std::vector<std::pair<int64_t, int64_t>>{{4 * kHidden, kHidden},
                                                {kHidden, kHidden},
                                                {2 * kIntermediate, kHidden},
                                                {kHidden, kIntermediate},
                                                {kVocab, kHidden}}) {
    const std::string shape = " " + std::to_string(outputs) + " x " + std::to_string(inputs);
    Measure("Linear" + shape + rows, 2 * (outputs * inputs + t * (inputs + outputs)), copy,
            [&, outputs = outputs, inputs = inputs](int) -> Op {
              auto x = Tensor(DType::kBF16, {t, inputs}), out = Tensor(DType::kBF16, {t, outputs});
              auto weight = Tensor(DType::kBF16, {outputs, inputs});
              return [=] {
                return Cuda().Linear({.x = *x,
                                      .weight = {.data = weight->view().raw,
                                                 .dtype = DType::kBF16,
                                                 .rows = outputs,
                                                 .cols = inputs},
                                      .out = *out});
              };
            });
  }
}

std::vector<cuda::StepPart> Parts(int64_t sequences, int32_t rows) {
  std::vector<cuda::StepPart> parts;
  for (int64_t s = 0; s < sequences; ++s) {
    parts.push_back({.slot = static_cast<int32_t>(s + 1), .position = kContext, .rows = rows});
  }
  return parts;
}

void MeasureConvolutions(int64_t sequences, int32_t rows, double copy) {
  const int64_t t = sequences * rows;
  const int64_t bytes = 3 * kHidden * (4 * t + 2 * 3 * 4 * sequences);
  Measure("ShortConv x 3, " + std::to_string(sequences) + " x " + std::to_string(rows), bytes, copy,
          [&](int) -> Op {
            auto batch = std::make_shared<TestBatch>(Cuda(), Parts(sequences, rows));
            auto weight = Tensor(DType::kF32, {kHidden, 4});
            std::vector<std::shared_ptr<Filled>> tensors;
            std::vector<std::shared_ptr<TestField>> fields;
            ShortConvGroupArgs args;
            for (int i = 0; i < 3; ++i) {
              tensors.push_back(Tensor(DType::kBF16, {t, kHidden}));
              tensors.push_back(Tensor(DType::kBF16, {t, kHidden}));
              fields.push_back(std::make_shared<TestField>(Cuda(), sequences, 3 * kHidden));
              args.parts.push_back({.batch = batch->view(),
                                    .x = *tensors[2 * i],
                                    .weight = weight->view().data<float>(),
                                    .width = 4,
                                    .history = fields[i]->view(),
                                    .out = *tensors[2 * i + 1]});
            }
            return [args, batch, weight, tensors, fields] { return Cuda().ShortConvGroup(args); };
          });
}

// The ops of one LTE layer but attention itself.
void MeasureRetention(int64_t sequences, double copy) {
  const int64_t lists = sequences * kKvHeads;
  const std::string name = ", " + std::to_string(sequences) + " single tokens";
  auto batch = std::make_shared<TestBatch>(Cuda(), Parts(sequences, 1));
  auto k = Tensor(DType::kBF16, {sequences, kKvHeads, kHeadDim});
  auto scores = Tensor(DType::kF32, {sequences, kKvHeads});

  RouterWeights router;
  router.groups = kKvHeads;
  std::vector<std::shared_ptr<Filled>> weights;
  std::vector<std::shared_ptr<TestField>> histories;
  std::vector<SlotField> fields;
  const auto take = [&](int64_t size) {
    weights.push_back(Tensor(DType::kF32, {size}));
    return weights.back()->view().data<float>();
  };
  int64_t history_floats = 0;
  for (int64_t in = 2 * kHeadDim; in > 16; in /= 2) {
    router.convs.push_back({.weight = take(kKvHeads * 3 * in * in / 2),
                            .bias = take(kKvHeads * in / 2),
                            .in = in,
                            .out = in / 2,
                            .size = 3,
                            .dilation = 2});
    histories.push_back(std::make_shared<TestField>(Cuda(), sequences, 4 * kKvHeads * in));
    fields.push_back(histories.back()->view());
    history_floats += 4 * in;
  }
  router.proj_weight = take(kKvHeads * 16);
  router.proj_bias = take(kKvHeads);
  Measure("RouterScores" + name, lists * (2 * 4 * history_floats + 4 * kHeadDim + 4), copy,
          [&](int) -> Op {
            return [&] {
              return Cuda().RouterScores({.batch = batch->view(),
                                          .k = *k,
                                          .v = *k,
                                          .weights = &router,
                                          .history = fields,
                                          .scores = *scores});
            };
          });

  const TestField ring(Cuda(), sequences, kSpan * kKvHeads), count(Cuda(), sequences, kKvHeads);
  const TestField score(Cuda(), sequences, kKvHeads * kBuffer);
  const TestField position(Cuda(), sequences, 2 * kKvHeads * kBuffer);
  const TestArray<int32_t> before(Cuda(), std::vector<int32_t>(lists));
  const TestArray<int64_t> kept(Cuda(), std::vector<int64_t>(lists * kBuffer));
  const TestArray<int64_t> window(Cuda(), std::vector<int64_t>(lists * kSpan));
  const TestArray<int64_t> own(Cuda(), std::vector<int64_t>(lists));
  const TestArray<int64_t> source(Cuda(), std::vector<int64_t>(lists * kBuffer));
  const KeptPlan plan = {before.data(), kept.data(), window.data(), own.data(), source.data()};
  Measure("Departures" + name, lists * 8 * (kSpan + kBuffer), copy, [&](int) -> Op {
    return [&] {
      return Cuda().Departures({.batch = batch->view(),
                                .scores = *scores,
                                .margin = 6,
                                .span = kSpan,
                                .buffer_size = kBuffer,
                                .sink_size = 4,
                                .num_kv_heads = kKvHeads,
                                .score_ring = ring.view(),
                                .kept_count = count.view(),
                                .kept_score = score.view(),
                                .kept_position = position.view(),
                                .plan = plan});
    };
  });
  const TestPages pages(Cuda(),
                        {.page_tokens = 16,
                         .head_dim = kHeadDim,
                         .num_kv_heads = kKvHeads,
                         .ring_tokens = kSpan,
                         .ring_capacity = kSpan,
                         .kept_capacity = kBuffer},
                        sequences, 1);
  Measure("WriteKv" + name, lists * (8 * kBuffer + 2 * 4 * kHeadDim), copy, [&](int) -> Op {
    return [&] {
      return Cuda().WriteKv({.batch = batch->view(),
                             .k = *k,
                             .v = *k,
                             .pages = pages.view(),
                             .plan = &plan,
                             .buffer_size = kBuffer});
    };
  });
}

}  // namespace

int MeasureOps(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::vector<int64_t> batches = {1, 16, 64, 256};
  int64_t prompt = 4096;
  CLI::App app{"Measures the CUDA backend's ops on the shapes of the 1.4B LTE model."};
  app.add_option("--cublaslt", cuda::CublasLtPath(), "path of libcublasLt.so.13");
  app.add_option("--batches", batches)->delimiter(',')->capture_default_str();
  app.add_option("--prompt", prompt, "rows of a prompt")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const double copy = CopyBytesPerSecond();
  std::printf("%s; device copy %.2f TB/s (read + written)\n",
              std::string(Cuda().description()).c_str(), copy / 1e12);
  for (const int64_t batch : batches) {
    MeasureDense(batch, copy);
    MeasureConvolutions(batch, 1, copy);
    MeasureRetention(batch, copy);
  }
  MeasureDense(prompt, copy);
  MeasureConvolutions(1, static_cast<int32_t>(prompt), copy);
  return 0;
}
}  // namespace winnow::bench
