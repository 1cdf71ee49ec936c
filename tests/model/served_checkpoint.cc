#include "tests/model/served_checkpoint.h"

#include <utility>

#include "kernels/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "model/device_weights.h"
#include "model/state_spec.h"

namespace winnow {
namespace {

// Collects what the engine thread delivers; fulfils the promises at the end.
class CollectingSink : public OutputSink {
 public:
  explicit CollectingSink(uint32_t num_choices) : answers_(num_choices) {}
  std::future<Answer> first() { return first_.get_future(); }
  std::future<std::vector<Answer>> all() { return all_.get_future(); }

  void OnPromptComputed() override {}
  void OnPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) override {
    std::vector<OutputToken>& so_far = answers_[0].prompt_logprobs;
    WINNOW_CHECK(first_position == static_cast<int64_t>(so_far.size()) + 1) << first_position;
    for (OutputToken& token : logprobs) so_far.push_back(std::move(token));
  }
  void OnToken(uint32_t choice, OutputToken token) override {
    answers_[choice].tokens.push_back(std::move(token));
  }
  void OnFinish(uint32_t choice, FinishInfo info) override {
    answers_[choice].finish = std::move(info);
    if (++num_finished_ < answers_.size()) return;
    first_.set_value(answers_[0]);
    all_.set_value(std::move(answers_));
  }

 private:
  std::vector<Answer> answers_;
  size_t num_finished_ = 0;
  std::promise<Answer> first_;
  std::promise<std::vector<Answer>> all_;
};

template <typename T>
T Must(absl::StatusOr<T> value) {
  WINNOW_CHECK(value.ok()) << value.status();
  return *std::move(value);
}

}  // namespace

std::vector<uint32_t> Answer::token_ids() const {
  std::vector<uint32_t> ids;
  for (const OutputToken& token : tokens) ids.push_back(token.token);
  return ids;
}

std::unique_ptr<ServedCheckpoint> ServedCheckpoint::Load(const std::string& directory,
                                                         const ServedOptions& options) {
  std::unique_ptr<ServedCheckpoint> served(new ServedCheckpoint());
  served->config_ = Must(LoadModelConfig(directory + "/config.json"));
  Backend* backend = options.backend;
  if (backend == nullptr) {
    served->cpu_ = Must(cpu::CpuBackend::Create({.num_threads = options.threads}));
    backend = served->cpu_.get();
  }
  served->weights_ = Must(PlaceWeights(Must(Weights::Load(directory, served->config_)), backend,
                                       [](int64_t, int64_t) {}));
  const StateSpec spec = Must(
      StateSpec::Create(served->config_, {.page_tokens = options.page_tokens,
                                          .page_dtype = backend->activation_dtype(),
                                          .state_dtype = options.state_dtype,
                                          .state_ring = options.state_ring,
                                          .max_sequence_tokens = options.max_sequence_tokens}));
  const int64_t most_pages =
      spec.grows() ? spec.MaxPages(options.max_sequence_tokens) : *spec.MaxPages();
  const int64_t num_pages =
      options.num_pages > 0 ? options.num_pages : options.num_slots * most_pages;
  served->model_ = Must(HybridModel::Create(served->config_, served->weights_.get(), backend, spec,
                                            {.max_step_tokens = options.max_step_tokens,
                                             .max_step_sequences = options.num_slots,
                                             .num_slots = options.num_slots,
                                             .num_pages = num_pages,
                                             .max_in_flight = options.max_in_flight}));
  EngineOptions engine;
  engine.scheduler.num_slots = options.num_slots;
  engine.scheduler.num_pages = num_pages;
  engine.scheduler.max_step_tokens = options.max_step_tokens;
  engine.scheduler.prompt_piece = options.prompt_piece;
  served->engine_ = std::make_unique<Engine>(served->model_.get(), std::move(engine));
  return served;
}

void ServedCheckpoint::SubmitTo(std::shared_ptr<OutputSink> sink, RequestSpec spec) {
  const absl::Status status =
      engine_->Submit(std::make_shared<Request>(std::move(spec), std::move(sink)));
  WINNOW_CHECK(status.ok()) << status;
}

std::future<Answer> ServedCheckpoint::Submit(RequestSpec spec) {
  auto sink = std::make_shared<CollectingSink>(spec.num_choices);
  std::future<Answer> future = sink->first();
  SubmitTo(std::move(sink), std::move(spec));
  return future;
}

std::future<std::vector<Answer>> ServedCheckpoint::SubmitChoices(RequestSpec spec) {
  auto sink = std::make_shared<CollectingSink>(spec.num_choices);
  std::future<std::vector<Answer>> future = sink->all();
  SubmitTo(std::move(sink), std::move(spec));
  return future;
}

std::vector<Answer> ServedCheckpoint::AskAll(std::vector<RequestSpec> specs) {
  std::vector<std::future<Answer>> futures;
  for (RequestSpec& spec : specs) futures.push_back(Submit(std::move(spec)));
  std::vector<Answer> answers;
  for (std::future<Answer>& future : futures) answers.push_back(future.get());
  return answers;
}

}  // namespace winnow
