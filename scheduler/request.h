// Request: one generation request, from submission to its last token.
//
// Made by the service, shared (shared_ptr) between the service and the engine. The spec is constant
// after construction; Cancel() may be called from any thread; everything else belongs to the engine
// thread.
#ifndef WINNOW_SCHEDULER_REQUEST_H_
#define WINNOW_SCHEDULER_REQUEST_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kernels/ops/sample.h"

namespace winnow {

// A sampled token with what was asked about it.
struct OutputToken {
  uint32_t token = 0;
  float logprob = 0;  // this, rank and top: if the request wants logprobs
  uint32_t rank = 0;
  std::vector<TokenLogprob> top;
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kDeadline, kError };

struct FinishInfo {
  FinishReason reason = FinishReason::kStop;
  uint32_t num_output_tokens = 0;
  std::optional<uint32_t> stop_token_id;  // reason kStop
  absl::Status error;                     // reason kError
  absl::Duration queue_time, prefill_time, decode_time;
  std::vector<int32_t>
      kept_counts;  // per StateSpec kept list, at the end (empty if never computed)
};

// Where a request's results go. Called on the engine thread only, in this order: OnPromptComputed,
// OnPromptLogprobs (in pieces as they are computed; these may also precede OnPromptComputed),
// OnToken, and exactly once, last, OnFinish. A request that ends before its prompt is computed gets
// OnFinish alone. Must not block.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  virtual void OnPromptComputed() = 0;
  // logprobs[i] is about the prompt token at position first_position + i.
  virtual void OnPromptLogprobs(int64_t first_position, std::vector<OutputToken> logprobs) = 0;
  virtual void OnToken(OutputToken token) = 0;
  virtual void OnFinish(FinishInfo info) = 0;
};

struct RequestSpec {
  std::string id;
  std::vector<uint32_t> prompt;  // not empty; ids below the vocabulary's size
  SamplingParams sampling;
  uint32_t max_tokens = 0;                  // 0: compute the prompt only
  std::vector<uint32_t> stop_token_ids;     // end-of-text tokens included, unless ignored
  std::optional<uint32_t> logprobs;         // alternatives per output token
  std::optional<uint32_t> prompt_logprobs;  // alternatives per prompt token
  int32_t priority = 0;                     // higher first
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time arrival;
};

enum class RequestState : uint8_t { kWaiting, kRunning, kFinished };

// What a running request holds of the pools; see scheduler.h.
struct SequenceResources {
  int32_t slot = 0;
  int64_t pages_reserved = 0;               // upper bound taken at admission
  std::vector<std::vector<int32_t>> pages;  // [page list][i], in step with StateSpec::lists()
};

class Request {
 public:
  Request(RequestSpec spec, std::shared_ptr<OutputSink> sink);

  const RequestSpec& spec() const { return spec_; }
  OutputSink& sink() { return *sink_; }

  // Thread-safe; takes effect before the next step is planned.
  void Cancel() { cancelled_.store(true, std::memory_order_release); }
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // ---- Engine thread only ----
  RequestState state() const { return state_; }
  // The one place where the state changes. Legal: kWaiting -> kRunning, kWaiting -> kFinished,
  // kRunning -> kFinished; CHECKs.
  void Transition(RequestState from, RequestState to);

  // Prompt and output so far. num_computed of them are in the sequence's state; a step computes
  // some of the difference.
  std::vector<uint32_t> tokens;
  int64_t num_computed = 0;
  int64_t num_prompt() const { return static_cast<int64_t>(spec_.prompt.size()); }
  int64_t num_known() const { return static_cast<int64_t>(tokens.size()); }
  uint32_t num_output() const { return static_cast<uint32_t>(num_known() - num_prompt()); }
  bool prompt_computed() const { return num_computed >= num_prompt(); }

  SequenceResources resources;
  std::vector<int32_t> kept_counts;  // per kept list, after the last step
  uint64_t last_step = 0;            // step in which it was last served
  uint64_t order = 0;                // arrival order, given by the scheduler
  absl::Time admitted, prompt_done;

 private:
  const RequestSpec spec_;
  const std::shared_ptr<OutputSink> sink_;
  std::atomic<bool> cancelled_{false};
  RequestState state_ = RequestState::kWaiting;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_REQUEST_H_
