#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"

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
      turns_(options.max_step_tokens, std::min(options.prompt_piece, options.max_step_tokens)) {
  WINNOW_CHECK(options.num_slots >= 1) << options.num_slots;
  WINNOW_CHECK(options.max_waiting >= 1) << options.max_waiting;
}

// ---- Sizes ----

int64_t Scheduler::MaxOutput(int64_t num_prompt_tokens, int64_t max_tokens) const {
  if (!max_sequence_tokens_.has_value()) return max_tokens;
  return std::min(max_tokens, *max_sequence_tokens_ - num_prompt_tokens);
}

int64_t Scheduler::MaxPages(int64_t num_prompt_tokens, int64_t max_output) const {
  return spec_.MaxPages(num_prompt_tokens + std::max<int64_t>(0, max_output - 1));
}

absl::Status Scheduler::CheckFits(int64_t num_prompt_tokens, int64_t max_tokens) const {
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
  const int64_t pages = MaxPages(num_prompt_tokens, MaxOutput(num_prompt_tokens, max_tokens));
  if (pages > options_.num_pages) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt of ", num_prompt_tokens, " tokens + max_tokens ", max_tokens,
                     " needs ", pages, " pages, the pool has ", options_.num_pages));
  }
  return absl::OkStatus();
}

absl::Status Scheduler::Enqueue(std::shared_ptr<Request> request) {
  WINNOW_CHECK(request->state() == RequestState::kWaiting) << request->spec().id;
  const absl::Status fits = CheckFits(request->num_prompt(), request->spec().max_tokens);
  if (!fits.ok()) return fits;
  if (waiting_.size() >= options_.max_waiting) {
    return absl::ResourceExhaustedError(absl::StrCat(
        waiting_.size(), " requests wait already, at most ", options_.max_waiting, " may"));
  }
  request->order = next_order_++;
  request->max_output = MaxOutput(request->num_prompt(), request->spec().max_tokens);
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
  batch.row_offsets.push_back(0);
  for (const Turn& turn : planned_) AddSequence(turn, &batch);
  return batch;
}

void Scheduler::FinishEnded(absl::Time now) {
  const auto finish = [&](Request& request) {
    const std::optional<FinishReason> reason = EndedFromOutside(request, now);
    if (reason.has_value()) Finish(request, *reason, now);
  };
  for (const auto& request : running_) finish(*request);
  RemoveFinished();
  const auto ended = [&](const Request& request) {
    return EndedFromOutside(request, now).has_value();
  };
  for (std::shared_ptr<Request>& request : waiting_.RemoveIf(ended)) {
    finish(*request);
    ended_.push_back(std::move(request));
  }
}

void Scheduler::Admit(absl::Time now) {
  while (!waiting_.empty() && TakeResources(*waiting_.first())) {
    running_.push_back(waiting_.PopFirst());
    Request& request = *running_.back();
    request.Transition(RequestState::kWaiting, RequestState::kRunning);
    request.admitted = now;
    request.last_step = totals_.num_steps;
  }
}

bool Scheduler::TakeResources(Request& request) {
  SequenceResources& own = request.resources;
  if (!slots_.Reserve(1, own.slots)) return false;
  if (!own.pages.Reserve(pages_, MaxPages(request.num_prompt(), request.max_output))) {
    slots_.Unreserve(own.slots);
    return false;
  }
  own.slot = slots_.Acquire(own.slots);
  return true;
}

void Scheduler::AddSequence(const Turn& turn, StepBatch* batch) {
  Request& request = *turn.request;
  const int64_t before = request.num_computed, after = before + turn.num_tokens;
  const int32_t slot = request.resources.slot;
  if (before == 0) batch->zero_slots.push_back(slot);
  request.resources.pages.Provide(spec_, pages_, slot, before, after, request.kept_counts,
                                  &batch->page_edits);
  for (int64_t position = before; position < after; ++position) {
    AddLogitsRows(request, position, batch);
    batch->tokens.push_back(request.tokens[position]);
    batch->positions.push_back(position);
  }
  batch->slots.push_back(slot);
  batch->row_offsets.push_back(static_cast<int32_t>(batch->num_tokens()));
  request.last_step = totals_.num_steps + 1;
}

void Scheduler::AddLogitsRows(const Request& request, int64_t position, StepBatch* batch) const {
  const RequestSpec& spec = request.spec();
  LogitsRow row;
  row.row = static_cast<int32_t>(batch->num_tokens());
  const int64_t next = position + 1;
  if (next < request.num_prompt() && spec.prompt_logprobs.has_value()) {
    row.purpose = RowPurpose::kScore;
    row.score_token = request.tokens[next];
    row.want_logprobs = true;
    row.num_top = *spec.prompt_logprobs;
    batch->logits_rows.push_back(row);
  }
  if (next == request.num_known() && request.max_output > 0) {
    row.purpose = RowPurpose::kSample;
    row.sampling = spec.sampling;
    row.position = next;
    row.want_logprobs = spec.logprobs.has_value();
    row.num_top = spec.logprobs.value_or(0);
    batch->logits_rows.push_back(row);
  }
}

// ---- Commit ----

void Scheduler::Commit(const StepBatch& batch, const absl::StatusOr<StepResult>& result,
                       absl::Time now) {
  WINNOW_CHECK(!planned_.empty() && batch.slots.size() == planned_.size());
  const size_t num_kept = spec_.num_kept_lists();
  if (result.ok()) {
    WINNOW_CHECK(result->rows.size() == batch.logits_rows.size()) << result->rows.size();
    WINNOW_CHECK(result->kept_counts.size() == planned_.size() * num_kept)
        << result->kept_counts.size();
  }
  size_t begin = 0;  // of the sequence's logits rows
  for (size_t b = 0; b < planned_.size(); ++b) {
    Request& request = *planned_[b].request;
    if (!result.ok()) {
      FinishWithError(request, result.status(), now);
      continue;
    }
    size_t end = begin;
    const auto& asked = batch.logits_rows;
    while (end < asked.size() && asked[end].row < batch.row_offsets[b + 1]) ++end;
    const SequenceResult own = {
        planned_[b].num_tokens, absl::MakeConstSpan(asked).subspan(begin, end - begin),
        absl::MakeConstSpan(result->rows).subspan(begin, end - begin),
        absl::MakeConstSpan(result->kept_counts).subspan(b * num_kept, num_kept)};
    CommitSequence(request, own, now);
    begin = end;
  }
  ++totals_.num_steps;
  planned_.clear();
  RemoveFinished();
}

void Scheduler::CommitSequence(Request& request, const SequenceResult& result, absl::Time now) {
  Advance(request, result);
  const bool fault = std::any_of(result.rows.begin(), result.rows.end(),
                                 [](const RowResult& row) { return row.fault; });
  if (fault) return FinishWithError(request, absl::InternalError("logits hold NaN or inf"), now);
  DeliverRows(request, result, now);
}

void Scheduler::Advance(Request& request, const SequenceResult& result) {
  if (!request.prompt_computed()) totals_.num_prompt_tokens += result.num_tokens;
  request.num_computed += result.num_tokens;
  for (const PageList& list : spec_.lists()) {
    if (list.kind != PageListKind::kKept) continue;
    const int64_t departed = std::max<int64_t>(0, request.num_computed - list.span);
    const int32_t kept = result.kept_counts[list.kept_index];
    WINNOW_CHECK(0 <= kept && kept <= std::min(list.capacity, departed))
        << kept << " kept tokens after " << request.num_computed;
  }
  request.kept_counts.assign(result.kept_counts.begin(), result.kept_counts.end());
  request.resources.pages.ReturnUnused(spec_, pages_, request.num_computed, request.kept_counts);
}

void Scheduler::DeliverRows(Request& request, const SequenceResult& result, absl::Time now) {
  std::vector<OutputToken> scored;
  const RowResult* sampled = nullptr;
  for (size_t i = 0; i < result.rows.size(); ++i) {
    if (result.asked[i].purpose == RowPurpose::kSample) {
      sampled = &result.rows[i];
    } else {
      scored.push_back(ToOutputToken(result.rows[i]));
    }
  }
  if (!scored.empty()) {
    const int64_t first_position = request.num_computed - result.num_tokens + 1;
    request.sink().OnPromptLogprobs(first_position, std::move(scored));
  }
  if (request.prompt_computed() && !request.prompt_done.has_value()) {
    request.prompt_done = now;
    request.sink().OnPromptComputed();
    if (request.max_output == 0) Finish(request, FinishReason::kLength, now);
  }
  if (sampled != nullptr) AppendToken(request, *sampled, now);
}

void Scheduler::AppendToken(Request& request, const RowResult& row, absl::Time now) {
  request.tokens.push_back(row.token);
  ++totals_.num_generated_tokens;
  request.sink().OnToken(ToOutputToken(row));
  const std::vector<uint32_t>& stops = request.spec().stop_token_ids;
  if (std::find(stops.begin(), stops.end(), row.token) != stops.end()) {
    request.finish.stop_token_id = row.token;
    Finish(request, FinishReason::kStop, now);
  } else if (request.num_output() == request.max_output) {
    Finish(request, FinishReason::kLength, now);
  }
}

// ---- The end of a request ----

void Scheduler::Finish(Request& request, FinishReason reason, absl::Time now) {
  SequenceResources& own = request.resources;
  if (request.state() == RequestState::kRunning) {
    own.pages.ReturnAll(pages_);
    slots_.Release(std::exchange(own.slot, kScratchSlot), own.slots);
    slots_.Unreserve(own.slots);
  }
  request.Transition(request.state(), RequestState::kFinished);
  request.finish.reason = reason;
  request.finish.num_output_tokens = request.num_output();
  request.finish.kept_counts = request.kept_counts;
  FillTimes(request, now, &request.finish);
}

void Scheduler::FinishWithError(Request& request, const absl::Status& error, absl::Time now) {
  request.finish.error = absl::InternalError(
      absl::StrCat("request ", request.spec().id, ": step failed: ", error.message()));
  Finish(request, FinishReason::kError, now);
}

void Scheduler::RemoveFinished() {
  const auto finished = std::stable_partition(
      running_.begin(), running_.end(),
      [](const auto& request) { return request->state() == RequestState::kRunning; });
  std::move(finished, running_.end(), std::back_inserter(ended_));
  running_.erase(finished, running_.end());
}

void Scheduler::FinishWaiting(FinishReason reason, const absl::Status& error, absl::Time now) {
  while (!waiting_.empty()) {
    ended_.push_back(waiting_.PopFirst());
    ended_.back()->finish.error = error;
    Finish(*ended_.back(), reason, now);
  }
}

void Scheduler::FinishAll(FinishReason reason, const absl::Status& error, absl::Time now) {
  WINNOW_CHECK(planned_.empty()) << "a step is in flight";
  for (const auto& request : running_) {
    request->finish.error = error;
    Finish(*request, reason, now);
  }
  RemoveFinished();
  FinishWaiting(reason, error, now);
}

void Scheduler::Deliver() {
  for (const auto& request : std::exchange(ended_, {})) {
    request->sink().OnFinish(std::move(request->finish));
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
