#include "tests/e2e/faulty_demo.h"

#include <utility>

#include "absl/status/statusor.h"
#include "kernels/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "model/hybrid_model.h"
#include "model/state_plan.h"
#include "model/state_spec.h"
#include "tests/e2e/harness.h"

namespace winnow {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  WINNOW_CHECK(value.ok()) << value.status();
  return *std::move(value);
}

}  // namespace

Options FaultyDemo::ServerOptions() {
  Options options = TestOptions();
  options.model = "deploy/demo-model";
  options.model_name = "demo-model";
  options.threads = 2;
  return options;
}

FaultyDemo::FaultyDemo(const Options& options, int max_in_flight)
    : options_(options), max_in_flight_(max_in_flight) {
  config_ = Must(LoadModelConfig(options.model + "/config.json"));
  weights_ = Must(Weights::Load(options.model, config_));
  cpu_ = Must(cpu::CpuBackend::Create({.num_threads = static_cast<int>(options.threads)}));
  backend_ = std::make_unique<FaultyBackend>(cpu_.get());
}

absl::Status FaultyDemo::CreateModel() {
  const StateSpec spec = Must(StateSpec::Create(config_, {.page_tokens = options_.page_tokens}));
  served_.plan = Must(PlanState(spec, *options_.state_memory_bytes, options_.max_sequences));
  auto model = HybridModel::Create(config_, weights_.get(), backend_.get(), spec,
                                   {.max_step_tokens = options_.max_step_tokens,
                                    .max_step_sequences = served_.plan.num_slots,
                                    .num_slots = served_.plan.num_slots,
                                    .num_pages = served_.plan.num_pages,
                                    .max_in_flight = max_in_flight_});
  if (!model.ok()) return model.status();
  model_ = *std::move(model);
  served_.model = model_.get();
  served_.info = DescribeModel(config_, spec, served_.plan);
  served_.info.set_name(options_.model_name);
  return absl::OkStatus();
}

}  // namespace winnow
