#include "scheduler/work_stats.h"

#include <algorithm>
#include <map>

#include "absl/types/span.h"
#include "kernels/check.h"

namespace winnow {
namespace {

// Those that users of other model servers know, so that dashboards can be compared.
constexpr double kFirstTokenSeconds[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                         1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
constexpr double kInterTokenSeconds[] = {.0005, .001, .002, .004, .006, .008, .01, .015, .02,
                                         .025,  .03,  .04,  .05,  .075, .1,   .15, .2,   .3,
                                         .4,    .5,   .75,  1,    2.5,  5,    10};
constexpr double kRequestSeconds[] = {.005, .01, .05, .1, .3, .5, .8,  1,   1.5, 2,   2.5,  5,   10,
                                      15,   20,  30,  40, 50, 60, 120, 240, 480, 960, 1920, 7680};
constexpr double kStepTokens[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
constexpr double kStepSequences[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};
constexpr double kRequestTokens[] = {1,      2,       5,       10,      20,       50,     100,
                                     200,    500,     1000,    2000,    5000,     10'000, 20'000,
                                     50'000, 100'000, 200'000, 500'000, 1'000'000};
constexpr double kKeptTokens[] = {0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10'000};

// Not negative, even when the clock was set back.
double SecondsBetween(absl::Time from, absl::Time to) {
  return std::max(0.0, absl::ToDoubleSeconds(to - from));
}

// Layers with kept lists, each with its lists' indices.
std::map<int, std::vector<int>> KeptIndices(const StateSpec& spec) {
  std::map<int, std::vector<int>> indices;
  for (const PageList& list : spec.lists()) {
    if (list.kind == PageListKind::kKept) indices[list.layer].push_back(list.kept_index);
  }
  return indices;
}

}  // namespace

WorkStats::KeptLayer::KeptLayer(int layer) : layer(layer), tokens(kKeptTokens) {}

WorkStats::WorkStats(const StateSpec& spec)
    : request_seconds_(kRequestSeconds),
      prompt_tokens_(kRequestTokens),
      generated_tokens_(kRequestTokens),
      queue_seconds_(kRequestSeconds),
      prefill_seconds_(kRequestSeconds),
      first_token_seconds_(kFirstTokenSeconds),
      decode_seconds_(kRequestSeconds),
      inter_token_seconds_(kInterTokenSeconds),
      step_seconds_(kInterTokenSeconds),
      step_tokens_(kStepTokens),
      step_sequences_(kStepSequences),
      kept_by_kept_index_(spec.num_kept_lists()) {
  for (const auto& [layer, kept_indices] : KeptIndices(spec)) {
    kept_layers_.emplace_back(layer);
    for (const int index : kept_indices) kept_by_kept_index_[index] = &kept_layers_.back().tokens;
  }
}

void WorkStats::StepPlanned(absl::Time now) { planned_.push_back(now); }

void WorkStats::StepEnded(const StepBatch& batch, bool ok, absl::Time now) {
  WINNOW_CHECK(!planned_.empty());
  const absl::Time begin = std::max(planned_.front(), last_step_end_);
  planned_.pop_front();
  last_step_end_ = now;
  step_seconds_.Add(SecondsBetween(begin, now));
  step_tokens_.Add(static_cast<double>(batch.num_tokens()));
  step_sequences_.Add(static_cast<double>(batch.num_sequences()));
  if (!ok) AddAsOnlyWriter(failed_steps_, uint64_t{1});
}

void WorkStats::Admitted(const Request& request) {
  queue_seconds_.Add(SecondsBetween(request.spec().arrival, *request.admitted));
}

void WorkStats::PromptComputed(const Request& request) {
  prefill_seconds_.Add(SecondsBetween(*request.admitted, *request.prompt_done));
  if (request.max_output == 0) return;
  first_token_seconds_.Add(SecondsBetween(request.spec().arrival, *request.prompt_done));
}

void WorkStats::TokenSampled(Sequence& sequence, absl::Time now) {
  if (sequence.last_token_time.has_value()) {
    inter_token_seconds_.Add(SecondsBetween(*sequence.last_token_time, now));
  }
  sequence.last_token_time = now;
}

void WorkStats::ChoiceEnded(const Request& request, const FinishInfo& info, absl::Time now) {
  for (size_t i = 0; i < info.kept_counts.size(); ++i) {
    kept_by_kept_index_[i]->Add(info.kept_counts[i]);
  }
  if (request.state() != RequestState::kFinished) return;
  if (!request.admitted.has_value() && absl::IsUnavailable(info.error)) {
    AddAsOnlyWriter(turned_away_, uint64_t{1});
  } else {
    RequestEnded(request, info.reason, now);
  }
}

void WorkStats::RequestEnded(const Request& request, FinishReason reason, absl::Time now) {
  AddAsOnlyWriter(finished_[static_cast<size_t>(reason)], uint64_t{1});
  request_seconds_.Add(SecondsBetween(request.spec().arrival, now));
  prompt_tokens_.Add(static_cast<double>(request.num_prompt()));
  size_t num_generated = 0;
  for (const Sequence& sequence : request.sequences) num_generated += sequence.output.size();
  generated_tokens_.Add(static_cast<double>(num_generated));
  if (num_generated > 0) decode_seconds_.Add(SecondsBetween(*request.prompt_done, now));
}

WorkCounts WorkStats::Read() const {
  WorkCounts counts;
  for (size_t i = 0; i < kNumFinishReasons; ++i) {
    counts.finished[i] = finished_[i].load(std::memory_order_relaxed);
  }
  counts.turned_away = turned_away_.load(std::memory_order_relaxed);
  counts.failed_steps = failed_steps_.load(std::memory_order_relaxed);
  counts.request_seconds = request_seconds_.Read();
  counts.prompt_tokens = prompt_tokens_.Read();
  counts.generated_tokens = generated_tokens_.Read();
  counts.queue_seconds = queue_seconds_.Read();
  counts.prefill_seconds = prefill_seconds_.Read();
  counts.first_token_seconds = first_token_seconds_.Read();
  counts.decode_seconds = decode_seconds_.Read();
  counts.inter_token_seconds = inter_token_seconds_.Read();
  counts.step_seconds = step_seconds_.Read();
  counts.step_tokens = step_tokens_.Read();
  counts.step_sequences = step_sequences_.Read();
  for (const KeptLayer& kept : kept_layers_) {
    counts.kept_tokens.push_back({kept.layer, kept.tokens.Read()});
  }
  return counts;
}

}  // namespace winnow
