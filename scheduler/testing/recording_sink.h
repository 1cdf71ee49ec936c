// RecordingSink: keeps what a request's sink is told and CHECKs the order that OutputSink promises.
//
//   auto sink = std::make_shared<RecordingSink>();
//   engine.Submit(std::make_shared<Request>(spec, sink));
//   sink->WaitForEnd();
//   sink->tokens ...
//
// Written on the engine thread; read after WaitForEnd, or on the thread that drives a Scheduler.
#ifndef WINNOW_SCHEDULER_TESTING_RECORDING_SINK_H_
#define WINNOW_SCHEDULER_TESTING_RECORDING_SINK_H_

#include <cstdint>
#include <future>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "scheduler/request.h"

namespace winnow {

class RecordingSink : public OutputSink {
 public:
  void OnPromptComputed() override {
    WINNOW_CHECK(!prompt_computed && !finish.has_value());
    prompt_computed = true;
  }
  void OnPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) override {
    WINNOW_CHECK(!prompt_computed && !finish.has_value() && !logprobs.empty());
    WINNOW_CHECK(first_position == static_cast<int64_t>(prompt_logprobs.size()) + 1);
    for (OutputToken& token : logprobs) prompt_logprobs.push_back(std::move(token));
  }
  void OnToken(OutputToken token) override {
    WINNOW_CHECK(prompt_computed && !finish.has_value());
    tokens.push_back(std::move(token));
  }
  void OnFinish(FinishInfo info) override {
    WINNOW_CHECK(!finish.has_value()) << "ended twice";
    WINNOW_CHECK(info.num_output_tokens == tokens.size()) << info.num_output_tokens;
    finish = std::move(info);
    end_.set_value();
  }

  void WaitForEnd() { ended_.wait(); }

  bool prompt_computed = false;
  std::vector<OutputToken> prompt_logprobs;
  std::vector<OutputToken> tokens;
  std::optional<FinishInfo> finish;

 private:
  std::promise<void> end_;
  const std::shared_future<void> ended_ = end_.get_future().share();
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_TESTING_RECORDING_SINK_H_
