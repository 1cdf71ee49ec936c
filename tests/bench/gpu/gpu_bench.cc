// gpu-bench model|ops|state_dtype [flags]: benchmarks of the CUDA backend, from the bundle
// (docs/gpu.md). Each takes --help.
#include "tests/bench/gpu/gpu_bench.h"

#include <cstdio>
#include <string_view>

namespace winnow::bench {
namespace {

constexpr int kWrongUsage = 1;

int Main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "model") return MeasureModel(argc - 1, argv + 1);
  if (what == "ops") return MeasureOps(argc - 1, argv + 1);
  if (what == "state_dtype") return MeasureStateDtype(argc - 1, argv + 1);
  std::fprintf(
      stderr,
      "gpu-bench: '%s' is none of its benchmarks:\n"
      "  gpu-bench model --model=DIR    whole steps of a checkpoint\n"
      "  gpu-bench ops                  the ops of the 1.4B LTE model, one by one\n"
      "  gpu-bench state_dtype --model=DIR  what a recurrent state in bf16 does to logits\n",
      argc > 1 ? argv[1] : "");
  return kWrongUsage;
}

}  // namespace
}  // namespace winnow::bench

int main(int argc, char** argv) { return winnow::bench::Main(argc, argv); }
