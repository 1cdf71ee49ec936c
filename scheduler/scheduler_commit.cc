// Scheduler::Commit and the end of a choice: everything that happens once a step's results are
// there.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "scheduler/scheduler.h"

namespace winnow {
namespace {

OutputToken ToOutputToken(const RowResult& row) {
  return {.token = row.token, .logprob = row.logprob, .rank = row.rank, .top = row.top};
}

// Not negative, even when the clock was set back.
absl::Duration Between(absl::Time from, absl::Time to) {
  return std::max(absl::ZeroDuration(), to - from);
}

void FillTimes(const Request& request, absl::Time now, FinishInfo* info) {
  const absl::Time admitted = request.admitted.value_or(now);
  const absl::Time prompt_done = request.prompt_done.value_or(now);
  info->queue_time = Between(request.spec().arrival, admitted);
  info->prefill_time = Between(admitted, prompt_done);
  info->decode_time = Between(prompt_done, now);
}

}  // namespace

void Scheduler::Commit(const StepBatch& batch, const absl::StatusOr<StepResult>& result,
                       absl::Time now) {
  WINNOW_CHECK(!in_flight_.empty() && batch.slots.size() == in_flight_.front().turns.size());
  const Step step = std::move(in_flight_.front());
  in_flight_.pop_front();
  if (result.ok()) {
    TakeIn(step, batch, *result, now);
  } else {
    FailStep(step, result.status(), now);
  }
  ++totals_.num_steps;
  stats_.StepEnded(batch, result.ok(), now);
  RemoveFinished();
}

void Scheduler::TakeIn(const Step& step, const StepBatch& batch, const StepResult& result,
                       absl::Time now) {
  WINNOW_CHECK(forks_.empty()) << "the copies for the last commit's forks were not planned";
  const std::vector<SequenceResult> results = Split(batch, result);
  // Rows of what has ended since the plan are discarded.
  std::vector<size_t> going_on;
  for (size_t b = 0; b < step.turns.size(); ++b) {
    if (step.turns[b].sequence->state == SequenceState::kRunning) going_on.push_back(b);
  }
  // First all of this, which takes pages for forks, then what may end sequences and give pages
  // back: so no page is copied from and to in the same step.
  for (const size_t b : going_on) Advance(step.turns[b], results[b]);
  for (const size_t b : going_on) DeliverRows(step.turns[b], results[b], now);
}

bool Scheduler::SequenceResult::fault() const {
  return std::any_of(rows.begin(), rows.end(), [](const RowResult& row) { return row.fault; });
}

std::vector<Scheduler::SequenceResult> Scheduler::Split(const StepBatch& batch,
                                                        const StepResult& result) const {
  const size_t num_kept = spec_.num_kept_lists();
  const auto& asked = batch.logits_rows;
  WINNOW_CHECK(result.rows.size() == asked.size()) << result.rows.size();
  WINNOW_CHECK(result.kept_counts.size() == batch.slots.size() * num_kept)
      << result.kept_counts.size();
  std::vector<SequenceResult> results;
  size_t begin = 0, end = 0;  // of the sequence's logits rows
  for (size_t b = 0; b < batch.slots.size(); ++b, begin = end) {
    while (end < asked.size() && asked[end].row < batch.row_offsets[b + 1]) ++end;
    results.push_back({absl::MakeConstSpan(asked).subspan(begin, end - begin),
                       absl::MakeConstSpan(result.rows).subspan(begin, end - begin),
                       absl::MakeConstSpan(result.kept_counts).subspan(b * num_kept, num_kept)});
  }
  return results;
}

void Scheduler::Advance(const Turn& turn, const SequenceResult& result) {
  Request& request = *turn.request;
  Sequence& sequence = *turn.sequence;
  const bool was_prompt = !request.prompt_computed(sequence);
  if (was_prompt) totals_.num_prompt_tokens += turn.num_tokens;
  sequence.num_computed += turn.num_tokens;
  for (const PageList& list : spec_.lists()) {
    if (list.kind != PageListKind::kKept) continue;
    const int64_t departed = std::max<int64_t>(0, sequence.num_computed - list.span);
    const int32_t kept = result.kept_counts[list.kept_index];
    WINNOW_CHECK(0 <= kept && kept <= std::min(list.capacity, departed))
        << kept << " kept tokens after " << sequence.num_computed;
  }
  sequence.kept_counts.assign(result.kept_counts.begin(), result.kept_counts.end());
  sequence.pages.ReturnUnused(spec_, pages_, request.pages, sequence.num_computed,
                              sequence.num_planned, sequence.kept_counts);
  const bool prompt_done = was_prompt && request.prompt_computed(sequence);
  if (prompt_done && request.max_output > 0 && !result.fault()) ForkChoices(request);
}

void Scheduler::ForkChoices(Request& request) {
  if (request.sequences.size() == 1) return;
  Sequence& first = request.sequences.front();
  WINNOW_CHECK(first.num_planned == first.num_computed) << "planned before it was forked";
  first.last_step = num_planned_steps_;  // waits from now on, like the others
  for (Sequence& sequence : absl::MakeSpan(request.sequences).subspan(1)) {
    sequence.state = SequenceState::kRunning;
    sequence.slot = slots_.Acquire(request.slots);
    sequence.num_computed = sequence.num_planned = first.num_computed;
    sequence.kept_counts = first.kept_counts;
    sequence.last_step = first.last_step;
    Fork fork = {request.shared_from_this(), &sequence, {first.slot, sequence.slot}, {}, {}};
    sequence.pages.Fork(spec_, pages_, request.pages, first.pages, first.num_computed,
                        sequence.slot, &fork.page_copies, &fork.page_edits);
    forks_.push_back(std::move(fork));
  }
}

void Scheduler::DeliverRows(const Turn& turn, const SequenceResult& result, absl::Time now) {
  Request& request = *turn.request;
  if (result.fault()) {
    return FailSequence(request, *turn.sequence, absl::InternalError("logits hold NaN or inf"),
                        now);
  }
  std::vector<OutputToken> scored;
  std::vector<const RowResult*> sampled;  // one, or at the prompt's end one per choice
  for (size_t i = 0; i < result.rows.size(); ++i) {
    if (result.asked[i].purpose == RowPurpose::kSample) {
      sampled.push_back(&result.rows[i]);
    } else {
      scored.push_back(ToOutputToken(result.rows[i]));
    }
  }
  if (!scored.empty()) {
    const int64_t first_position = turn.sequence->num_computed - turn.num_tokens + 1;
    request.sink().OnPromptLogprobs(first_position, std::move(scored));
  }
  if (request.prompt_done.has_value()) {
    return AppendToken(request, *turn.sequence, *sampled.front(), now);
  }
  if (!request.prompt_computed(*turn.sequence)) return;
  request.prompt_done = now;
  stats_.PromptComputed(request);
  request.sink().OnPromptComputed();
  for (size_t choice = 0; choice < sampled.size(); ++choice) {
    AppendToken(request, request.sequences[choice], *sampled[choice], now);
  }
  if (request.max_output == 0) FinishRequest(request, {.reason = FinishReason::kLength}, now);
}

void Scheduler::AppendToken(Request& request, Sequence& sequence, const RowResult& row,
                            absl::Time now) {
  const RequestSpec& spec = request.spec();
  sequence.output.push_back(row.token);
  ++totals_.num_generated_tokens;
  stats_.TokenSampled(sequence, now);
  request.sink().OnToken(sequence.choice, ToOutputToken(row));

  const bool may_stop = sequence.output.size() > spec.min_tokens;
  std::optional<std::string> stop_text;
  if (sequence.stop_matcher != nullptr) {
    stop_text = sequence.stop_matcher->Append(row.token, may_stop);
  }
  const auto& stops = spec.stop_token_ids;
  if (may_stop && std::find(stops.begin(), stops.end(), row.token) != stops.end()) {
    Finish(request, sequence, {.reason = FinishReason::kStop, .stop_token_id = row.token}, now);
  } else if (stop_text.has_value()) {
    Finish(request, sequence, {.reason = FinishReason::kStop, .stop_text = stop_text}, now);
  } else if (static_cast<int64_t>(sequence.output.size()) == request.max_output) {
    Finish(request, sequence, {.reason = FinishReason::kLength}, now);
  }
}

// Lost with the step is the state of the sequences in it, and of those whose copies it began with.
void Scheduler::FailStep(const Step& step, const absl::Status& error, absl::Time now) {
  const auto fail = [&](Request& request, Sequence& sequence) {
    if (sequence.state == SequenceState::kEnded) return;
    FailSequence(request, sequence, error, now);
  };
  for (const Turn& turn : step.turns) fail(*turn.request, *turn.sequence);
  for (const Fork& fork : step.forks) fail(*fork.request, *fork.sequence);
}

// ---- The end of a choice ----

void Scheduler::Finish(Request& request, Sequence& sequence, FinishInfo info, absl::Time now) {
  if (sequence.state == SequenceState::kRunning) {
    sequence.pages.ReturnAll(pages_, request.pages);
    slots_.Release(std::exchange(sequence.slot, kScratchSlot), request.slots);
  }
  sequence.state = SequenceState::kEnded;
  const int64_t num_live = request.num_live();
  if (request.state() == RequestState::kRunning) {
    slots_.Lower(MaxSlots(request.max_output, num_live), request.slots);
    pages_.Lower(MaxPages(request.num_prompt(), request.max_output, num_live), request.pages);
  }
  if (num_live == 0) request.Transition(request.state(), RequestState::kFinished);
  info.num_output_tokens = static_cast<uint32_t>(sequence.output.size());
  info.kept_counts = sequence.kept_counts;
  FillTimes(request, now, &info);
  stats_.ChoiceEnded(request, info, now);
  ended_.push_back({request.shared_from_this(), sequence.choice, std::move(info)});
}

void Scheduler::FinishRequest(Request& request, const FinishInfo& info, absl::Time now) {
  for (Sequence& sequence : request.sequences) {
    if (sequence.state != SequenceState::kEnded) Finish(request, sequence, info, now);
  }
}

// Before the prompt is done there is nothing yet that the other choices could go on from.
void Scheduler::FailSequence(Request& request, Sequence& sequence, const absl::Status& error,
                             absl::Time now) {
  FinishInfo info;
  info.reason = FinishReason::kError;
  info.error = absl::InternalError(
      absl::StrCat("request ", request.spec().id, ": step failed: ", error.message()));
  if (!request.prompt_done.has_value()) return FinishRequest(request, info, now);
  Finish(request, sequence, std::move(info), now);
}

void Scheduler::RemoveFinished() {
  std::erase_if(running_,
                [](const auto& request) { return request->state() == RequestState::kFinished; });
}

void Scheduler::FinishWaiting(FinishReason reason, const absl::Status& error, absl::Time now) {
  while (!waiting_.empty()) {
    FinishRequest(*waiting_.PopFirst(), {.reason = reason, .error = error}, now);
  }
}

void Scheduler::FinishAll(FinishReason reason, const absl::Status& error, absl::Time now) {
  for (const auto& request : running_) {
    FinishRequest(*request, {.reason = reason, .error = error}, now);
  }
  RemoveFinished();
  FinishWaiting(reason, error, now);
}

void Scheduler::Deliver() {
  for (Ended& ended : std::exchange(ended_, {})) {
    ended.request->sink().OnFinish(ended.choice, std::move(ended.info));
  }
}

}  // namespace winnow
