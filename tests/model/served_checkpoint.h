// ServedCheckpoint: a checkpoint behind the real Engine, Scheduler, HybridModel and backend,
// without gRPC, for tests.
//
//   auto served = ServedCheckpoint::Load(dir, options);
//   Answer answer = served->Ask(spec);            // one request, to its end
//   std::vector<Answer> answers = served->AskAll(specs);  // all at once
//   std::vector<Answer> choices = served->AskChoices(spec);
#ifndef WINNOW_TESTS_MODEL_SERVED_CHECKPOINT_H_
#define WINNOW_TESTS_MODEL_SERVED_CHECKPOINT_H_

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/dtype.h"
#include "model/config.h"
#include "model/hybrid_model.h"
#include "model/weights.h"
#include "scheduler/engine.h"

namespace winnow {

struct ServedOptions {
  Backend* backend = nullptr;  // not owned, outlives the checkpoint; null: a CPU backend
  int threads = 2;             // of the CPU backend
  int64_t page_tokens = 16;
  int64_t num_slots = 8;
  int64_t num_pages = 0;              // 0: enough for num_slots sequences of the largest size
  int64_t max_sequence_tokens = 512;  // for growing kinds
  int64_t max_step_tokens = 512;
  int64_t prompt_piece = 256;
  int64_t state_ring = 0;
  DType state_dtype = DType::kF32;
  int max_in_flight = 1;  // steps, by the model
};

// Everything that a request's sink received of one choice.
struct Answer {
  std::vector<OutputToken> prompt_logprobs;  // of positions 1, 2, ...; choice 0
  std::vector<OutputToken> tokens;
  FinishInfo finish;

  std::vector<uint32_t> token_ids() const;
};

class ServedCheckpoint {
 public:
  // CHECKs that everything loads.
  static std::unique_ptr<ServedCheckpoint> Load(const std::string& directory,
                                                const ServedOptions& options);

  const ModelConfig& config() const { return config_; }
  const StateSpec& spec() const { return model_->state_spec(); }
  Engine& engine() { return *engine_; }

  std::future<Answer> Submit(RequestSpec spec);  // choice 0
  Answer Ask(RequestSpec spec) { return Submit(std::move(spec)).get(); }
  std::vector<Answer> AskAll(std::vector<RequestSpec> specs);
  std::future<std::vector<Answer>> SubmitChoices(RequestSpec spec);
  std::vector<Answer> AskChoices(RequestSpec spec) { return SubmitChoices(std::move(spec)).get(); }

 private:
  ServedCheckpoint() = default;
  void SubmitTo(std::shared_ptr<OutputSink> sink, RequestSpec spec);

  ModelConfig config_;
  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<const Weights> weights_;
  std::unique_ptr<HybridModel> model_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_MODEL_SERVED_CHECKPOINT_H_
