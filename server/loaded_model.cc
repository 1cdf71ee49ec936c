#include "server/loaded_model.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/create.h"
#include "model/config.h"
#include "model/device_weights.h"
#include "model/hybrid_model.h"
#include "server/experiments.h"
#include "server/generation_config.h"
#include "server/sequence_limit.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

// Of the cpu backend, if --state_memory is not given.
constexpr int64_t kDefaultStateBytes = int64_t{4} << 30;
// Rows of logits that are computed together: on a GPU the head is read once for all of a step's
// rows.
constexpr int64_t kCpuLogitsRows = 64;
constexpr int64_t kCudaLogitsRows = 1024;

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const Options& options) {
  if (options.backend == "cuda") {
    return cuda::CreateCudaBackend(
        {.memory_fraction = options.gpu_memory_fraction,
         .compute = options.compute == "f32" ? DType::kF32 : DType::kBF16,
         .cublaslt = options.cublaslt});
  }
  auto backend = cpu::CpuBackend::Create({.num_threads = static_cast<int>(options.threads)});
  if (!backend.ok()) return backend.status();
  return std::unique_ptr<Backend>(*std::move(backend));
}

// The largest step and the most slots; how many there are, and pages, is not known yet. At most
// max_sequences sequences run.
ModelLimits StepLimits(const Options& options) {
  ModelLimits limits;
  limits.max_step_tokens = options.max_step_tokens;
  limits.max_step_sequences = std::min(options.max_step_tokens, options.max_sequences);
  limits.num_slots = options.max_sequences;
  limits.logits_block_rows = std::min(options.max_step_tokens,
                                      options.backend == "cuda" ? kCudaLogitsRows : kCpuLogitsRows);
  return limits;
}

// Bytes for the sequences' state. Without --state_memory: what the backend has left beside the
// weights, which it holds, and the memory that a step works in.
absl::StatusOr<int64_t> StateMemory(const ModelConfig& config, const Options& options,
                                    const Backend& backend) {
  if (options.state_memory_bytes.has_value()) return *options.state_memory_bytes;
  const std::optional<int64_t> available = backend.available_bytes();
  if (!available.has_value()) return kDefaultStateBytes;
  const int64_t working = HybridModel::WorkingBytes(config, backend, StepLimits(options));
  spdlog::info("device memory: {} bytes for steps of up to {} tokens, {} left for the state",
               working, options.max_step_tokens, std::max<int64_t>(0, *available - working));
  if (working >= *available) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "steps of --max_step_tokens=", options.max_step_tokens, " need ", working,
        " bytes of device memory, of which ", *available, " are left beside the weights"));
  }
  return *available - working;
}

StateSpecOptions SpecOptions(const Options& options, const Backend& backend) {
  StateSpecOptions spec_options;
  spec_options.page_tokens = options.page_tokens;
  spec_options.page_dtype = backend.activation_dtype();
  spec_options.state_dtype = options.state_dtype == "bf16" ? DType::kBF16 : DType::kF32;
  spec_options.state_ring = options.state_ring;
  spec_options.max_sequence_tokens = options.max_sequence_tokens;
  return spec_options;
}

// The state's layout; for kinds that grow with the text, with a length limit that the memory allows
// if none was given.
absl::StatusOr<StateSpec> MakeSpec(const ModelConfig& config, const Options& options,
                                   const Backend& backend, int64_t state_bytes) {
  StateSpecOptions spec_options = SpecOptions(options, backend);
  if (!GrowsWithLength(config) || options.max_sequence_tokens.has_value()) {
    return StateSpec::Create(config, spec_options);
  }
  const auto limit = ChooseSequenceLimit(config, spec_options, state_bytes, options.max_sequences);
  if (!limit.ok()) return limit.status();
  spdlog::info("no --max_sequence_tokens given: {} tokens, chosen from the state memory", *limit);
  spec_options.max_sequence_tokens = *limit;
  return StateSpec::Create(config, spec_options);
}

absl::Status LoadTokenizer(const std::string& directory, LoadedModel* loaded) {
  auto tokenizer = Tokenizer::Load((std::filesystem::path(directory) / "tokenizer.json").string());
  if (absl::IsNotFound(tokenizer.status())) {
    spdlog::info("no tokenizer.json: prompts and answers are token ids");
    return absl::OkStatus();
  }
  if (!tokenizer.ok()) return tokenizer.status();
  loaded->tokenizer = *std::move(tokenizer);
  return absl::OkStatus();
}

absl::Status MakeModel(const ModelConfig& config, const Options& options, LoadedModel* loaded) {
  const absl::StatusOr<int64_t> state_bytes = StateMemory(config, options, *loaded->backend);
  if (!state_bytes.ok()) return state_bytes.status();
  const absl::StatusOr<StateSpec> spec = MakeSpec(config, options, *loaded->backend, *state_bytes);
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<StatePlan> plan = PlanState(*spec, *state_bytes, options.max_sequences);
  if (!plan.ok()) {
    return absl::Status(plan.status().code(),
                        absl::StrCat("--state_memory is too small: ", plan.status().message()));
  }
  loaded->served.plan = *plan;
  for (const auto line : absl::StrSplit(DescribePlan(*spec, *plan), '\n')) {
    spdlog::info("{}", std::string(line));
  }
  ModelLimits limits = StepLimits(options);
  limits.max_step_sequences = std::min(options.max_step_tokens, plan->num_slots);
  limits.num_slots = plan->num_slots;
  limits.num_pages = plan->num_pages;
  auto model =
      HybridModel::Create(config, loaded->weights.get(), loaded->backend.get(), *spec, limits);
  if (!model.ok()) return model.status();
  if (absl::Status warm = (*model)->WarmUp(); !warm.ok()) return warm;
  loaded->model = *std::move(model);
  loaded->served.info = DescribeModel(config, *spec, *plan);
  return absl::OkStatus();
}

absl::Status LoadWeights(const ModelConfig& config, const Options& options, LoadedModel* loaded) {
  auto weights = Weights::Load(options.model, config);
  if (!weights.ok()) return weights.status();
  spdlog::info("{}: {} layers, {:.1f} million parameters, {:.1f} MiB of weights", config.model_type,
               config.layers.size(), (*weights)->num_parameters / 1e6,
               (*weights)->size_bytes / 0x1p20);
  auto placed =
      PlaceWeights(*std::move(weights), loaded->backend.get(), [](int64_t done, int64_t total) {
        spdlog::info("weights on the device: {:.1f} of {:.1f} MiB", done / 0x1p20, total / 0x1p20);
      });
  if (!placed.ok()) return placed.status();
  loaded->weights = *std::move(placed);
  return absl::OkStatus();
}

void CompleteInfo(const Options& options, const std::vector<uint32_t>& eos_token_ids,
                  LoadedModel* loaded) {
  v1::GetModelInfoResponse& info = loaded->served.info;
  info.set_name(options.model_name);
  info.set_backend(std::string(loaded->backend->name()));
  info.set_num_parameters(loaded->weights->num_parameters);
  info.set_weight_bytes(loaded->weights->size_bytes);
  info.set_has_tokenizer(loaded->tokenizer != nullptr);
  info.mutable_eos_token_ids()->Assign(eos_token_ids.begin(), eos_token_ids.end());
  if (!info.has_max_sequence_tokens() && options.max_sequence_tokens.has_value()) {
    info.set_max_sequence_tokens(*options.max_sequence_tokens);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadModel(const Options& options) {
  const std::filesystem::path directory = options.model;
  spdlog::info("loading {}", options.model);
  auto config = LoadModelConfig((directory / "config.json").string());
  if (!config.ok()) return config.status();
  if (absl::Status status = ApplyExperiments(options, &*config); !status.ok()) return status;
  const auto eos_token_ids = EosTokenIds(options.model, *config);
  if (!eos_token_ids.ok()) return eos_token_ids.status();

  auto loaded = std::make_unique<LoadedModel>();
  if (absl::Status status = LoadTokenizer(options.model, loaded.get()); !status.ok()) return status;
  auto backend = MakeBackend(options);
  if (!backend.ok()) return backend.status();
  loaded->backend = *std::move(backend);
  spdlog::info("backend {}: {}", loaded->backend->name(), loaded->backend->description());
  if (absl::Status status = LoadWeights(*config, options, loaded.get()); !status.ok()) {
    return status;
  }
  if (absl::Status status = MakeModel(*config, options, loaded.get()); !status.ok()) return status;
  CompleteInfo(options, *eos_token_ids, loaded.get());
  loaded->served.model = loaded->model.get();
  loaded->served.tokenizer = loaded->tokenizer.get();
  return loaded;
}

}  // namespace winnow
