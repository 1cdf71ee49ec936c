// Request: one generation request, from submission to the last token of its last choice.
//
// Made by the service, shared (shared_ptr) between the service and the engine. The spec is constant
// after construction; Cancel() may be called from any thread; everything else belongs to the engine
// thread.
#ifndef WINNOW_SCHEDULER_REQUEST_H_
#define WINNOW_SCHEDULER_REQUEST_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "kernels/ops/sample.h"
#include "scheduler/reservation.h"
#include "scheduler/sequence.h"
#include "scheduler/stop_matcher.h"

namespace winnow {

// A sampled or scored token with what was asked about it.
struct OutputToken {
  uint32_t token = 0;
  float logprob = 0;  // this, rank and top: if the request wants logprobs
  uint32_t rank = 0;
  std::vector<TokenLogprob> top;
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kDeadline, kError };

struct FinishInfo {
  FinishReason reason = FinishReason::kStop;
  uint32_t num_output_tokens = 0;  // a stop token and the tokens of a stop string included
  // Reason kStop: one of them.
  std::optional<uint32_t> stop_token_id = std::nullopt;
  std::optional<std::string> stop_text = std::nullopt;
  absl::Status error = {};  // reason kError
  // Arrival to admission, admission to the prompt's end, from there to the end; a part that was not
  // reached is zero, one that was cut off ends with the choice.
  absl::Duration queue_time = {}, prefill_time = {}, decode_time = {};
  // Per StateSpec kept list, at the end; empty if nothing was computed.
  std::vector<int32_t> kept_counts = {};
};

// Where a request's results go. Called on the engine thread only, in this order:
//   OnPromptLogprobs*   if asked for: in pieces as they are computed, consecutive from position 1
//   OnPromptComputed
//   OnToken*            of all choices, interleaved
//   OnFinish            exactly once for each choice 0..n-1, its last, whatever happens
// A request that ends before its prompt is computed gets no OnPromptComputed and no OnToken.
// Must not block. May call Engine::Submit, Cancel and Stats.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  virtual void OnPromptComputed() = 0;
  // logprobs[i] is about the prompt token at position first_position + i.
  virtual void OnPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) = 0;
  virtual void OnToken(uint32_t choice, OutputToken token) = 0;
  virtual void OnFinish(uint32_t choice, FinishInfo info) = 0;
};

struct RequestSpec {
  std::string id;
  std::vector<uint32_t> prompt = {};  // not empty; ids below the vocabulary's size
  SamplingParams sampling = {};       // the seed is choice 0's; choice c has DeriveSeed(seed, c)
  std::vector<TokenBias> logit_bias = {};     // ascending distinct tokens
  uint32_t num_choices = 1;                   // >= 1
  uint32_t max_tokens = 0;                    // 0: compute the prompt only
  uint32_t min_tokens = 0;                    // no stop before so many output tokens
  std::vector<uint32_t> stop_token_ids = {};  // end-of-text tokens too, unless ignored
  // Makes a choice's matcher; null: no stop strings.
  std::function<std::unique_ptr<StopMatcher>()> make_stop_matcher = nullptr;
  std::optional<uint32_t> logprobs = std::nullopt;         // alternatives per output token
  std::optional<uint32_t> prompt_logprobs = std::nullopt;  // alternatives per prompt token
  int32_t priority = 0;                                    // higher first
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time arrival = {};  // when the service got it: queue time and ageing count from here
};

enum class RequestState : uint8_t { kWaiting, kRunning, kFinished };

class Request : public std::enable_shared_from_this<Request> {
 public:
  // REQUIRES: the prompt is not empty, there is at least one choice, and `sink` is not null.
  Request(RequestSpec spec, std::shared_ptr<OutputSink> sink);

  const RequestSpec& spec() const { return spec_; }
  OutputSink& sink() { return *sink_; }

  // Thread-safe; takes effect before the next step is planned.
  void Cancel() { cancelled_.store(true, std::memory_order_release); }
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // ---- Engine thread only ----
  RequestState state() const { return state_; }
  // The one place where the state changes. CHECKs that it is `from` and that the edge is legal:
  // kWaiting -> kRunning, kWaiting -> kFinished, kRunning -> kFinished.
  void Transition(RequestState from, RequestState to);

  int64_t num_prompt() const { return static_cast<int64_t>(spec_.prompt.size()); }

  // What is known of one of its sequences: a step computes some of the difference between known and
  // computed tokens.
  int64_t num_known(const Sequence& sequence) const {
    return num_prompt() + static_cast<int64_t>(sequence.output.size());
  }
  uint32_t token(const Sequence& sequence, int64_t position) const {
    return position < num_prompt() ? spec_.prompt[position]
                                   : sequence.output[position - num_prompt()];
  }
  bool prompt_computed(const Sequence& sequence) const {
    return sequence.num_computed >= num_prompt();
  }
  bool prompt_planned(const Sequence& sequence) const {
    return sequence.num_planned >= num_prompt();
  }
  // Whether a running sequence can be planned before the steps in flight are committed. Not if what
  // they sample is its last token for sure; and not at the end of a prompt whose other choices will
  // be copied from it as the prompt leaves it.
  bool can_go_on(const Sequence& sequence) const;

  std::vector<Sequence> sequences;  // one per choice; never moved
  uint32_t num_live() const;        // of them have not ended

  int64_t max_output = 0;    // max_tokens, or what the longest sequence leaves; by the scheduler
  Reservation slots, pages;  // for all choices that have not ended
  uint64_t order = 0;        // of arrival, given by the scheduler
  std::optional<absl::Time> admitted, prompt_done;

 private:
  const RequestSpec spec_;
  const std::shared_ptr<OutputSink> sink_;
  std::atomic<bool> cancelled_{false};
  RequestState state_ = RequestState::kWaiting;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_REQUEST_H_
