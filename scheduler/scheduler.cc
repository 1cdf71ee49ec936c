#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/drawn_token.h"
#include "kernels/philox.h"

namespace winnow {
namespace {

// When the next one is planned.
constexpr size_t kMaxStepsInFlight = 1;

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

}  // namespace

Scheduler::Scheduler(const StateSpec& spec, const SchedulerOptions& options)
    : spec_(spec),
      options_(options),
      max_sequence_tokens_(LeastOf(options.max_sequence_tokens, spec.max_sequence_tokens())),
      slots_(options.num_slots),
      pages_(options.num_pages),
      turns_(options.max_step_tokens, std::min(options.prompt_piece, options.max_step_tokens)),
      waiting_(options.priority_ageing),
      stats_(spec) {
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
  WINNOW_CHECK(in_flight_.size() <= kMaxStepsInFlight) << in_flight_.size() << " steps in flight";
  FinishEnded(now);
  Admit(now);
  StepBatch batch;
  Step step = {.turns = turns_.Choose(running_), .forks = TakeForks()};
  if (step.turns.empty()) return batch;  // nor are there forks: they can go on
  ++num_planned_steps_;
  for (const Fork& fork : step.forks) AddFork(fork, &batch);
  batch.row_offsets.push_back(0);
  for (const Turn& turn : step.turns) AddTurn(turn, &batch);
  in_flight_.push_back(std::move(step));
  stats_.StepPlanned(now);
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
    stats_.Admitted(request);
    Sequence& first = request.sequences.front();
    first.state = SequenceState::kRunning;
    first.slot = slots_.Acquire(request.slots);
    first.last_step = num_planned_steps_;
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

std::vector<Scheduler::Fork> Scheduler::TakeForks() {
  // What has ended since holds nothing any more: its slot and pages may be somebody else's.
  std::erase_if(forks_,
                [](const Fork& fork) { return fork.sequence->state == SequenceState::kEnded; });
  return std::exchange(forks_, {});
}

void Scheduler::AddFork(const Fork& fork, StepBatch* batch) {
  batch->slot_copies.push_back(fork.slot_copy);
  batch->page_copies.insert(batch->page_copies.end(), fork.page_copies.begin(),
                            fork.page_copies.end());
  batch->page_edits.insert(batch->page_edits.end(), fork.page_edits.begin(), fork.page_edits.end());
}

void Scheduler::AddTurn(const Turn& turn, StepBatch* batch) {
  Request& request = *turn.request;
  Sequence& sequence = *turn.sequence;
  const int64_t before = sequence.num_planned, after = before + turn.num_tokens;
  if (before == 0) batch->zero_slots.push_back(sequence.slot);
  // For the step in flight, too: what it keeps is not known yet.
  sequence.pages.Provide(spec_, pages_, request.pages, sequence.slot, sequence.num_computed, after,
                         sequence.kept_counts, &batch->page_edits);
  for (int64_t position = before; position < after; ++position) {
    AddLogitsRows(turn, position, batch);
    batch->tokens.push_back(position < request.num_known(sequence)
                                ? request.token(sequence, position)
                                : DrawnToken(sequence.slot));
    batch->positions.push_back(position);
  }
  batch->slots.push_back(sequence.slot);
  batch->row_offsets.push_back(static_cast<int32_t>(batch->num_tokens()));
  sequence.num_planned = after;
  sequence.last_step = num_planned_steps_;
}

void Scheduler::AddLogitsRows(const Turn& turn, int64_t position, StepBatch* batch) {
  const Request& request = *turn.request;
  const int64_t next = position + 1;
  const auto add = [&](LogitsRow row) {
    row.row = static_cast<int32_t>(batch->num_tokens());
    batch->logits_rows.push_back(row);
  };
  if (next < request.num_prompt()) {
    if (request.spec().prompt_logprobs.has_value()) add(ScoreRow(request, next));
    return;
  }
  if (request.max_output == 0) return;
  if (next > request.num_prompt()) return add(SampleRow(request, *turn.sequence, next));
  // The prompt's end: every choice begins here.
  for (const Sequence& sequence : request.sequences) add(SampleRow(request, sequence, next));
}

LogitsRow Scheduler::ScoreRow(const Request& request, int64_t position) {
  LogitsRow row;
  row.purpose = RowPurpose::kScore;
  row.score_token = request.spec().prompt[position];
  row.want_logprobs = true;
  row.num_top = *request.spec().prompt_logprobs;
  return row;
}

// For the token at `position`, of which at most the one before may still be in flight.
LogitsRow Scheduler::SampleRow(const Request& request, const Sequence& sequence, int64_t position) {
  const RequestSpec& spec = request.spec();
  const int64_t in_flight = position - request.num_known(sequence);
  WINNOW_CHECK(0 <= in_flight && in_flight <= 1) << in_flight << " tokens in flight";
  LogitsRow row;
  row.purpose = RowPurpose::kSample;
  row.sampling = spec.sampling;
  row.sampling.seed = DeriveSeed(spec.sampling.seed, sequence.choice);
  row.context.prompt = spec.prompt;
  row.context.output = sequence.output;
  row.context.output_in_flight = in_flight == 1;
  row.context.logit_bias = spec.logit_bias;
  if (position - request.num_prompt() < int64_t{spec.min_tokens}) {
    row.context.suppressed = spec.stop_token_ids;
  }
  row.position = position;
  row.slot = sequence.slot;  // of choices that are still to be forked: none
  row.want_logprobs = spec.logprobs.has_value();
  row.num_top = spec.logprobs.value_or(0);
  return row;
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
