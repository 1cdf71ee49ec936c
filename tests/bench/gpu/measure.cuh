// What the benchmarks of CUDA kernels share: random device memory, the time of launches in a graph,
// the rate of a device copy, lines of results. For .cu files with a main.
//
// A figure: a CUDA graph of launches that walk at least kLeastSets distinct sets of inputs of
// together kLeastBytes or more, so that none comes from the L2 cache; replayed, timed with events,
// the median of kReplays replays, divided by the launches. The gaps between a graph's kernels are
// in it. Failures of CUDA end the program.
#ifndef WINNOW_TESTS_BENCH_GPU_MEASURE_CUH_
#define WINNOW_TESTS_BENCH_GPU_MEASURE_CUH_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace winnow::cuda {

inline constexpr int64_t kLeastBytes = int64_t{512} << 20;
inline constexpr int64_t kLeastSets = 4;
inline constexpr int kReplays = 9;

inline void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

// Random numbers in [low, high), from the index alone.
static __global__ void FillKernel(float* to, int64_t count, uint64_t seed, float low, float high) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    uint64_t x = (i + seed) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    to[i] = low + (high - low) * static_cast<float>(x >> 40) * 0x1p-24f;
  }
}
static __global__ void FillBF16Kernel(BF16* to, int64_t count, uint64_t seed, float low,
                                      float high) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    uint64_t x = (i + seed) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    to[i] = ToBF16(low + (high - low) * static_cast<float>(x >> 40) * 0x1p-24f);
  }
}

// Device memory; values where asked for.
class Memory {
 public:
  explicit Memory(int64_t bytes) { Check(cudaMalloc(&pointer_, bytes), "cudaMalloc"); }
  template <typename T>
  explicit Memory(const std::vector<T>& content)
      : Memory(static_cast<int64_t>(content.size() * sizeof(T))) {
    Check(cudaMemcpy(pointer_, content.data(), content.size() * sizeof(T), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }
  static std::unique_ptr<Memory> Random(DType dtype, int64_t count, float low, float high) {
    static uint64_t seed = 0;
    auto memory = std::make_unique<Memory>(count * DTypeBytes(dtype));
    seed += uint64_t{1} << 40;
    if (dtype == DType::kF32) {
      FillKernel<<<2048, 256>>>(memory->as<float>(), count, seed, low, high);
    } else {
      FillBF16Kernel<<<2048, 256>>>(memory->as<BF16>(), count, seed, low, high);
    }
    Check(cudaGetLastError(), "fill");
    return memory;
  }
  ~Memory() { cudaFree(pointer_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(pointer_);
  }

 private:
  void* pointer_ = nullptr;
};

// Seconds of one launch: of `count` launches in a graph, launch(i, stream) for each.
inline double TimeLaunches(int64_t count,
                           const std::function<cudaError_t(int64_t, cudaStream_t)>& launch) {
  cudaStream_t stream;
  Check(cudaStreamCreate(&stream), "stream");
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int64_t i = 0; i < count; ++i) Check(launch(i, stream), "launch");
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  Check(cudaStreamEndCapture(stream, &graph), "end of capture");
  Check(cudaGraphInstantiate(&exec, graph, 0), "graph");
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  for (int i = 0; i < 2; ++i) Check(cudaGraphLaunch(exec, stream), "warm-up");
  std::vector<float> milliseconds(kReplays);
  for (float& ms : milliseconds) {
    Check(cudaEventRecord(begin, stream), "record");
    Check(cudaGraphLaunch(exec, stream), "replay");
    Check(cudaEventRecord(end, stream), "record");
    Check(cudaEventSynchronize(end), "replay");
    Check(cudaEventElapsedTime(&ms, begin, end), "elapsed");
  }
  std::nth_element(milliseconds.begin(), milliseconds.begin() + kReplays / 2, milliseconds.end());
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return milliseconds[kReplays / 2] * 1e-3 / count;
}

// Bytes read and written per second by a copy of 4 GB. Not in a graph: there the driver copies by
// slower means.
inline double CopyRate() {
  constexpr int64_t kBytes = int64_t{4} << 30;
  const auto from = Memory::Random(DType::kF32, kBytes / 4, -1, 1);
  const Memory to(kBytes);
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  float best_ms = 0;
  for (int i = 0; i < kReplays; ++i) {
    float ms;
    Check(cudaEventRecord(begin), "record");
    Check(cudaMemcpyAsync(to.as<void>(), from->as<void>(), kBytes, cudaMemcpyDeviceToDevice),
          "copy");
    Check(cudaEventRecord(end), "record");
    Check(cudaEventSynchronize(end), "copy");
    Check(cudaEventElapsedTime(&ms, begin, end), "elapsed");
    if (i == 0 || ms < best_ms) best_ms = ms;
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return 2.0 * kBytes / (best_ms * 1e-3);
}

// Of how many sets with so many bytes each a figure is made.
inline int64_t NumSets(int64_t set_bytes) {
  return std::max(kLeastSets, (kLeastBytes + set_bytes - 1) / set_bytes);
}

inline void PrintLine(const std::string& name, double bytes, double seconds, double copy_rate,
                      const std::string& more) {
  std::printf("%-34s %9.2f MB %9.2f us %7.0f GB/s %5.1f%% of copy %s\n", name.c_str(), bytes / 1e6,
              seconds * 1e6, bytes / seconds / 1e9, 100 * bytes / seconds / copy_rate,
              more.c_str());
  std::fflush(stdout);
}

}  // namespace winnow::cuda

#endif  // WINNOW_TESTS_BENCH_GPU_MEASURE_CUH_
