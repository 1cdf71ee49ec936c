// RecordingSink: keeps what a request's sink is told and CHECKs the order that OutputSink promises.
//
//   auto sink = std::make_shared<RecordingSink>();
//   engine.Submit(std::make_shared<Request>(spec, sink));
//   sink->WaitForEnd();
//   sink->tokens ...               // of choice 0
//   sink->choice(2).finish ...     // RecordingSink(n) for a request of n choices
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

struct RecordedChoice {
  std::vector<OutputToken> tokens;
  std::optional<FinishInfo> finish;
};

// Choice 0 is the sink's own, since most requests have no other.
class RecordingSink : public OutputSink, public RecordedChoice {
 public:
  explicit RecordingSink(uint32_t num_choices = 1) : others_(num_choices - 1) {}

  void OnPromptComputed() override {
    WINNOW_CHECK(!prompt_computed && num_finished_ == 0);
    prompt_computed = true;
  }
  void OnPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) override {
    WINNOW_CHECK(!prompt_computed && num_finished_ == 0 && !logprobs.empty());
    WINNOW_CHECK(first_position == static_cast<int64_t>(prompt_logprobs.size()) + 1);
    for (OutputToken& token : logprobs) prompt_logprobs.push_back(std::move(token));
  }
  void OnToken(uint32_t index, OutputToken token) override {
    WINNOW_CHECK(prompt_computed && !choice(index).finish.has_value()) << index;
    choice(index).tokens.push_back(std::move(token));
  }
  void OnFinish(uint32_t index, FinishInfo info) override {
    RecordedChoice& own = choice(index);
    WINNOW_CHECK(!own.finish.has_value()) << "choice " << index << " ended twice";
    WINNOW_CHECK(info.num_output_tokens == own.tokens.size()) << info.num_output_tokens;
    own.finish = std::move(info);
    if (++num_finished_ == num_choices()) end_.set_value();
  }

  RecordedChoice& choice(uint32_t index) {
    WINNOW_CHECK(index < num_choices()) << index;
    return index == 0 ? *this : others_[index - 1];
  }
  uint32_t num_choices() const { return static_cast<uint32_t>(others_.size()) + 1; }
  bool ended() const { return num_finished_ == num_choices(); }

  void WaitForEnd() { ended_.wait(); }

  bool prompt_computed = false;
  std::vector<OutputToken> prompt_logprobs;

 private:
  std::vector<RecordedChoice> others_;
  uint32_t num_finished_ = 0;
  std::promise<void> end_;
  const std::shared_future<void> ended_ = end_.get_future().share();
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_TESTING_RECORDING_SINK_H_
