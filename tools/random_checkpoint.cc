// random_checkpoint: writes a random checkpoint for a config.json, for benchmarks.
//
//   bazel run -c opt //tools:random_checkpoint -- --config=tests/bench/configs/gdn_lte_0.4b.json
//   --out=/tmp/lte --seed=1
//
// Exit code 0: written; 1: an error, which stderr names; nothing is left behind then.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "model/file.h"
#include "tools/random_checkpoint_lib.h"

namespace winnow {
namespace {

struct Flags {
  std::string config;
  std::string out;
  int64_t shard_bytes = 0;
  RandomCheckpointOptions options;
};

void Declare(CLI::App& app, Flags& flags) {
  const std::map<std::string, DType> dtypes = {
      {"bf16", DType::kBF16}, {"f16", DType::kF16}, {"f32", DType::kF32}};
  app.add_option("--config", flags.config, "The model's config.json")->required();
  app.add_option("--out", flags.out, "Directory to write config.json and the tensors to")
      ->required();
  app.add_option("--seed", flags.options.seed, "Equal seeds give equal checkpoints")
      ->capture_default_str();
  app.add_option("--dtype", flags.options.dtype, "bf16 (default), f16 or f32")
      ->transform(CLI::CheckedTransformer(dtypes));
  app.add_option("--shard_bytes", flags.shard_bytes, "Split into shards of about this size")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", flags.options.threads, "Threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_flag("--force", flags.options.overwrite, "Replace the checkpoint that is there");
}

// One line on stderr at every tenth.
void ShowProgress(int64_t done, int64_t total) {
  static int64_t shown = 0;  // calls come one at a time
  const int64_t tenth = done * 10 / total;
  if (tenth <= shown) return;
  shown = tenth;
  std::fprintf(stderr, "%3lld%% of %.2f GB\n", static_cast<long long>(tenth * 10), total * 1e-9);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Writes a random checkpoint for a config.json.");
  Declare(app, flags);
  CLI11_PARSE(app, argc, argv);
  if (flags.shard_bytes > 0) flags.options.shard_bytes = flags.shard_bytes;
  flags.options.progress = ShowProgress;

  constexpr int64_t kMaxConfigBytes = 16 << 20;
  const absl::StatusOr<std::string> config = ReadFile(flags.config, kMaxConfigBytes);
  const absl::Status status =
      config.ok() ? WriteRandomCheckpoint(*config, flags.out, flags.options) : config.status();
  if (!status.ok()) std::fprintf(stderr, "random_checkpoint: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace winnow

int main(int argc, char** argv) {
  // `bazel run` starts tools elsewhere; paths mean what they mean to the caller.
  const char* caller = std::getenv("BUILD_WORKING_DIRECTORY");
  if (caller != nullptr && chdir(caller) != 0) {
    std::perror(caller);
    return 1;
  }
  return winnow::Main(argc, argv);
}
