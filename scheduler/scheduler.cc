#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/philox.h"

namespace winnow {
namespace {

std::optional<int64_t> LeastOf(std::optional<int64_t> a, std::optional<int64_t> b) {
  if (!a.has_value() || !b.has_value()) return a.has_value() ? a : b;
  return std::min(*a, *b);
}

// Why a request has to end now whatever it is doing; none: it goes on.
std::optional<FinishReason> EndedFromOutside(const Request& request, absl::Time now) {
  if (request.cancelled()) return FinishReason::kCancelled;
  if (now >= request.spec().deadline) return FinishReason::kDeadline;
  return std::nullopt;
}

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

Scheduler::Scheduler(const StateSpec& spec, const SchedulerOptions& options)
    : spec_(spec),
      options_(options),
      max_sequence_tokens_(LeastOf(options.max_sequence_tokens, spec.max_sequence_tokens())),
      slots_(options.num_slots),
      pages_(options.num_pages),
      turns_(options.max_step_tokens, std::min(options.prompt_piece, options.max_step_tokens)),
      waiting_(options.priority_ageing) {
  WINNOW_CHECK(options.num_slots >= 1) << options.num_slots;
  WINNOW_CHECK(options.max_waiting >= 1) << options.max_waiting;
}

// ---- Sizes ----

int64_t Scheduler::MaxOutput(int64_t num_prompt_tokens, int64_t max_tokens) const {
  if (!max_sequence_tokens_.has_value()) return max_tokens;
  return std::min(max_tokens, *max_sequence_tokens_ - num_prompt_tokens);
}

int64_t Scheduler::MaxPages(int64_t num_prompt_tokens, int64_t max_output, int64_t num_live) const {
  const int64_t each = spec_.MaxPages(num_prompt_tokens + std::max<int64_t>(0, max_output - 1));
  const int64_t num_sequences = MaxSlots(max_output, num_live);
  if (num_sequences == 0) return 0;
  return num_sequences * each - (num_sequences - 1) * spec_.FullPages(num_prompt_tokens);
}

// Without output nothing is forked: one sequence serves all choices.
int64_t Scheduler::MaxSlots(int64_t max_output, int64_t num_live) {
  return max_output > 0 ? num_live : std::min<int64_t>(num_live, 1);
}

absl::Status Scheduler::CheckFits(int64_t num_prompt_tokens, int64_t max_tokens,
                                  int64_t num_choices) const {
  if (num_prompt_tokens < 1) return absl::InvalidArgumentError("the prompt has no tokens");
  if (max_tokens < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_tokens is ", max_tokens, ", must be at least 0"));
  }
  if (num_prompt_tokens > max_sequence_tokens_.value_or(num_prompt_tokens)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "prompt of ", num_prompt_tokens,
        " tokens is longer than a sequence may be: ", *max_sequence_tokens_, " tokens"));
  }
  const int64_t max_output = MaxOutput(num_prompt_tokens, max_tokens);
  if (MaxSlots(max_output, num_choices) > options_.num_slots) {
    return absl::InvalidArgumentError(absl::StrCat("prompt with ", num_choices,
                                                   " choices needs as many slots, the pool has ",
                                                   options_.num_slots));
  }
  const int64_t pages = MaxPages(num_prompt_tokens, max_output, num_choices);
  if (pages > options_.num_pages) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt of ", num_prompt_tokens, " tokens + max_tokens ", max_tokens,
                     num_choices > 1 ? absl::StrCat(" in ", num_choices, " choices") : "",
                     " needs ", pages, " pages, the pool has ", options_.num_pages));
  }
  return absl::OkStatus();
}

absl::Status CheckQueueRoom(const SchedulerOptions& options, int64_t waiting,
                            int64_t waiting_prompt_tokens, int64_t num_prompt_tokens) {
  if (waiting >= options.max_waiting) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting, " requests wait already, at most ", options.max_waiting, " may"));
  }
  if (waiting > 0 && waiting_prompt_tokens + num_prompt_tokens > options.max_waiting_tokens) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting_prompt_tokens, " prompt tokens wait already; with ", num_prompt_tokens,
                     " more there would be more than ", options.max_waiting_tokens));
  }
  return absl::OkStatus();
}

absl::Status Scheduler::Enqueue(std::shared_ptr<Request> request) {
  WINNOW_CHECK(request->state() == RequestState::kWaiting) << request->spec().id;
  const RequestSpec& spec = request->spec();
  absl::Status status = CheckFits(request->num_prompt(), spec.max_tokens, spec.num_choices);
  status.Update(CheckQueueRoom(options_, waiting_.size(), waiting_.num_prompt_tokens(),
                               request->num_prompt()));
  if (!status.ok()) return status;
  request->order = next_order_++;
  request->max_output = MaxOutput(request->num_prompt(), spec.max_tokens);
  waiting_.Push(std::move(request));
  return absl::OkStatus();
}

// ---- Plan ----

StepBatch Scheduler::Plan(absl::Time now) {
  WINNOW_CHECK(planned_.empty()) << "the last step was not committed";
  FinishEnded(now);
  Admit(now);
  planned_ = turns_.Choose(running_);
  StepBatch batch;
  AddForks(&batch);
  batch.row_offsets.push_back(0);
  for (const Turn& turn : planned_) AddTurn(turn, &batch);
  return batch;
}

void Scheduler::FinishEnded(absl::Time now) {
  const auto finish = [&](Request& request) {
    const std::optional<FinishReason> reason = EndedFromOutside(request, now);
    if (reason.has_value()) FinishRequest(request, {.reason = *reason}, now);
  };
  for (const auto& request : running_) finish(*request);
  RemoveFinished();
  const auto ended = [&](const Request& request) {
    return EndedFromOutside(request, now).has_value();
  };
  for (const std::shared_ptr<Request>& request : waiting_.RemoveIf(ended)) finish(*request);
}

void Scheduler::Admit(absl::Time now) {
  while (!waiting_.empty() && TakeResources(*waiting_.first())) {
    running_.push_back(waiting_.PopFirst());
    Request& request = *running_.back();
    request.Transition(RequestState::kWaiting, RequestState::kRunning);
    request.admitted = now;
    Sequence& first = request.sequences.front();
    first.state = SequenceState::kRunning;
    first.slot = slots_.Acquire(request.slots);
    first.last_step = totals_.num_steps;
  }
}

bool Scheduler::TakeResources(Request& request) {
  const int64_t num_choices = request.num_live();
  if (!slots_.Reserve(MaxSlots(request.max_output, num_choices), request.slots)) return false;
  const int64_t pages = MaxPages(request.num_prompt(), request.max_output, num_choices);
  if (pages_.Reserve(pages, request.pages)) return true;
  slots_.Lower(0, request.slots);
  return false;
}

void Scheduler::AddForks(StepBatch* batch) {
  // What has ended since holds nothing any more: its slot and pages may be somebody else's.
  std::erase_if(forks_,
                [](const Fork& fork) { return fork.sequence->state == SequenceState::kEnded; });
  for (const Fork& fork : forks_) {
    batch->slot_copies.push_back(fork.slot_copy);
    batch->page_copies.insert(batch->page_copies.end(), fork.page_copies.begin(),
                              fork.page_copies.end());
    batch->page_edits.insert(batch->page_edits.end(), fork.page_edits.begin(),
                             fork.page_edits.end());
  }
}

void Scheduler::AddTurn(const Turn& turn, StepBatch* batch) {
  Request& request = *turn.request;
  Sequence& sequence = *turn.sequence;
  const int64_t before = sequence.num_computed, after = before + turn.num_tokens;
  if (before == 0) batch->zero_slots.push_back(sequence.slot);
  sequence.pages.Provide(spec_, pages_, request.pages, sequence.slot, before, after,
                         sequence.kept_counts, &batch->page_edits);
  for (int64_t position = before; position < after; ++position) {
    AddLogitsRows(turn, position, batch);
    batch->tokens.push_back(request.token(sequence, position));
    batch->positions.push_back(position);
  }
  batch->slots.push_back(sequence.slot);
  batch->row_offsets.push_back(static_cast<int32_t>(batch->num_tokens()));
  sequence.last_step = totals_.num_steps + 1;
}

void Scheduler::AddLogitsRows(const Turn& turn, int64_t position, StepBatch* batch) const {
  const Request& request = *turn.request;
  const int64_t next = position + 1;
  const auto add = [&](LogitsRow row) {
    row.row = static_cast<int32_t>(batch->num_tokens());
    batch->logits_rows.push_back(row);
  };
  if (next < request.num_prompt() && request.spec().prompt_logprobs.has_value()) {
    add(ScoreRow(request, next));
  }
  if (next < request.num_known(*turn.sequence) || request.max_output == 0) return;
  if (next > request.num_prompt()) return add(SampleRow(request, *turn.sequence));
  // The prompt's end: every choice begins here.
  for (const Sequence& sequence : request.sequences) add(SampleRow(request, sequence));
}

LogitsRow Scheduler::ScoreRow(const Request& request, int64_t position) {
  LogitsRow row;
  row.purpose = RowPurpose::kScore;
  row.score_token = request.spec().prompt[position];
  row.want_logprobs = true;
  row.num_top = *request.spec().prompt_logprobs;
  return row;
}

LogitsRow Scheduler::SampleRow(const Request& request, const Sequence& sequence) {
  const RequestSpec& spec = request.spec();
  LogitsRow row;
  row.purpose = RowPurpose::kSample;
  row.sampling = spec.sampling;
  row.sampling.seed = DeriveSeed(spec.sampling.seed, sequence.choice);
  row.context.prompt = spec.prompt;
  row.context.output = sequence.output;
  row.context.logit_bias = spec.logit_bias;
  if (sequence.output.size() < spec.min_tokens) row.context.suppressed = spec.stop_token_ids;
  row.position = request.num_known(sequence);
  row.want_logprobs = spec.logprobs.has_value();
  row.num_top = spec.logprobs.value_or(0);
  return row;
}

// ---- Commit ----

void Scheduler::Commit(const StepBatch& batch, const absl::StatusOr<StepResult>& result,
                       absl::Time now) {
  WINNOW_CHECK(!planned_.empty() && batch.slots.size() == planned_.size());
  if (result.ok()) {
    forks_.clear();
    const std::vector<SequenceResult> results = Split(batch, *result);
    // First all of this, which takes pages for forks, then what may end sequences and give pages
    // back: so no page is copied from and to in the same step.
    for (size_t b = 0; b < planned_.size(); ++b) Advance(planned_[b], results[b]);
    for (size_t b = 0; b < planned_.size(); ++b) DeliverRows(planned_[b], results[b], now);
  } else {
    FailStep(result.status(), now);
  }
  ++totals_.num_steps;
  planned_.clear();
  RemoveFinished();
}

bool Scheduler::SequenceResult::fault() const {
  return std::any_of(rows.begin(), rows.end(), [](const RowResult& row) { return row.fault; });
}

std::vector<Scheduler::SequenceResult> Scheduler::Split(const StepBatch& batch,
                                                        const StepResult& result) const {
  const size_t num_kept = spec_.num_kept_lists();
  const auto& asked = batch.logits_rows;
  WINNOW_CHECK(result.rows.size() == asked.size()) << result.rows.size();
  WINNOW_CHECK(result.kept_counts.size() == planned_.size() * num_kept)
      << result.kept_counts.size();
  std::vector<SequenceResult> results;
  size_t begin = 0, end = 0;  // of the sequence's logits rows
  for (size_t b = 0; b < planned_.size(); ++b, begin = end) {
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
                              sequence.kept_counts);
  const bool prompt_done = was_prompt && request.prompt_computed(sequence);
  if (prompt_done && request.max_output > 0 && !result.fault()) ForkChoices(request);
}

void Scheduler::ForkChoices(Request& request) {
  const Sequence& first = request.sequences.front();
  for (Sequence& sequence : absl::MakeSpan(request.sequences).subspan(1)) {
    sequence.state = SequenceState::kRunning;
    sequence.slot = slots_.Acquire(request.slots);
    sequence.num_computed = first.num_computed;
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
void Scheduler::FailStep(const absl::Status& error, absl::Time now) {
  for (const Turn& turn : planned_) FailSequence(*turn.request, *turn.sequence, error, now);
  for (const Fork& fork : std::exchange(forks_, {})) {
    if (fork.sequence->state == SequenceState::kEnded) continue;
    FailSequence(*fork.request, *fork.sequence, error, now);
  }
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
  WINNOW_CHECK(planned_.empty()) << "a step is in flight";
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

// ---- Looking at it ----

LoadStats Scheduler::load() const {
  LoadStats load;
  load.running = static_cast<int64_t>(running_.size());
  load.waiting = waiting_.size();
  load.waiting_prompt_tokens = waiting_.num_prompt_tokens();
  load.slots_used = slots_.used();
  load.slots_reserved = slots_.reserved();
  load.slots_total = slots_.total();
  load.pages_used = pages_.used();
  load.pages_reserved = pages_.reserved();
  load.pages_total = pages_.total();
  return load;
}

}  // namespace winnow
