#include "scheduler/testing/fake_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "kernels/check.h"
#include "kernels/drawn_token.h"
#include "kernels/philox.h"

namespace winnow {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014): enough to make any change of the input show.
uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

double Unit(uint64_t x) { return static_cast<double>(x >> 11) * 0x1p-53; }

}  // namespace

FakeModel::FakeModel(const StateSpec& spec, const SchedulerOptions& limits,
                     const FakeModelOptions& options)
    : spec_(spec), limits_(limits), options_(options), random_(options.seed) {
  slots_.resize(limits.num_slots + 1);
  memory_.resize(limits.num_pages + 1, std::vector<uint64_t>(spec.page_tokens()));
  drawn_.resize(limits.num_slots + 1);
}

absl::Status FakeModel::Launch(const StepBatch& batch) {
  WINNOW_CHECK(static_cast<int>(in_flight_.size()) < options_.max_in_flight) << in_flight_.size();
  if (options_.on_launch) options_.on_launch();
  CheckShape(batch);
  CheckTokens(batch);
  Begin(batch);
  for (size_t b = 0; b < batch.slots.size(); ++b) {
    const int64_t row = batch.row_offsets[b], num_tokens = batch.row_offsets[b + 1] - row;
    CheckSequence(slots_[batch.slots[b]], batch.positions[row], num_tokens);
    CheckTable(slots_[batch.slots[b]], batch.positions[row] + num_tokens);
    CheckMemory(slots_[batch.slots[b]]);
  }
  Step step;
  step.batch = batch;
  for (size_t b = 0; b < batch.slots.size(); ++b) {
    Slot& slot = slots_[batch.slots[b]];
    Advance(slot, batch, b, &step.result);
    step.sequences.push_back(slot.sequence);
    step.num_tokens.push_back(slot.num_tokens);
  }
  for (const SlotCopy& copy : batch.slot_copies) step.copied_to.push_back(slots_[copy.to].sequence);
  // Again: nobody's writes may have hit a neighbour's pages.
  for (const int32_t slot : batch.slots) CheckMemory(slots_[slot]);
  batches_.push_back(batch);
  const bool fails = Unit(random_()) < options_.failed_step_rate;
  if (!fails) {
    in_flight_.push_back(std::move(step));
    return absl::OkStatus();
  }
  LoseStep(step);
  return absl::InternalError("launch failed");
}

absl::Status FakeModel::Wait(StepResult* result) {
  WINNOW_CHECK(!in_flight_.empty());
  const Step step = std::move(in_flight_.front());
  in_flight_.pop_front();
  int code = fail_next_.exchange(0);
  if (code == 0 && Unit(random_()) < options_.failed_step_rate) {
    code = static_cast<int>(absl::StatusCode::kInternal);
  }
  if (code == 0) {
    LearnStep(step);
    *result = step.result;
    return absl::OkStatus();
  }
  LoseStep(step);
  return absl::Status(static_cast<absl::StatusCode>(code), "step failed");
}

// A slot may be another sequence's by now.
void FakeModel::LoseStep(const Step& step) {
  const auto lose = [&](int32_t slot, uint64_t sequence) {
    if (slots_[slot].sequence == sequence) slots_[slot].lost = true;
  };
  for (size_t b = 0; b < step.batch.slots.size(); ++b) lose(step.batch.slots[b], step.sequences[b]);
  for (size_t i = 0; i < step.batch.slot_copies.size(); ++i) {
    lose(step.batch.slot_copies[i].to, step.copied_to[i]);
  }
}

void FakeModel::LearnStep(const Step& step) {
  const size_t num_kept = spec_.num_kept_lists();
  for (size_t b = 0; b < step.batch.slots.size(); ++b) {
    Slot& slot = slots_[step.batch.slots[b]];
    if (slot.sequence != step.sequences[b]) continue;
    slot.known_tokens = step.num_tokens[b];
    const auto kept = step.result.kept_counts.begin() + static_cast<int64_t>(b * num_kept);
    slot.known_kept.assign(kept, kept + static_cast<int64_t>(num_kept));
  }
}

void FakeModel::CheckShape(const StepBatch& batch) const {
  const int64_t t = batch.num_tokens(), b = batch.num_sequences();
  WINNOW_CHECK(1 <= t && t <= limits_.max_step_tokens) << t << " tokens";
  WINNOW_CHECK(1 <= b && b <= limits_.num_slots) << b << " sequences";
  WINNOW_CHECK(static_cast<int64_t>(batch.positions.size()) == t);
  WINNOW_CHECK(static_cast<int64_t>(batch.row_offsets.size()) == b + 1);
  WINNOW_CHECK(batch.row_offsets.front() == 0 && batch.row_offsets.back() == t);
  for (int64_t i = 0; i < b; ++i) WINNOW_CHECK(batch.row_offsets[i] < batch.row_offsets[i + 1]);
  const std::set<int32_t> slots(batch.slots.begin(), batch.slots.end());
  WINNOW_CHECK(static_cast<int64_t>(slots.size()) == b) << "a sequence appears twice";
  WINNOW_CHECK(*slots.begin() >= 1 && *slots.rbegin() <= limits_.num_slots);
  for (const int32_t slot : batch.zero_slots) WINNOW_CHECK(slots.count(slot) == 1) << slot;
  int32_t row = 0;
  for (const LogitsRow& logits : batch.logits_rows) {
    WINNOW_CHECK(row <= logits.row && logits.row < t) << logits.row;
    row = logits.row;
  }
}

// Ids, or what the sequence draws in a step that is in flight.
void FakeModel::CheckTokens(const StepBatch& batch) const {
  for (size_t b = 0; b < batch.slots.size(); ++b) {
    for (int32_t row = batch.row_offsets[b]; row < batch.row_offsets[b + 1]; ++row) {
      const uint32_t token = batch.tokens[row];
      if (!IsDrawn(token)) {
        WINNOW_CHECK(token < options_.vocab_size) << token;
        continue;
      }
      const Slot& slot = slots_[batch.slots[b]];
      WINNOW_CHECK(DrawnSlot(token) == batch.slots[b]) << DrawnSlot(token);
      WINNOW_CHECK(slot.num_tokens > slot.known_tokens) << "what it draws is known";
    }
  }
}

void FakeModel::CopyForks(const StepBatch& batch) {
  std::set<int32_t> from, to;
  const auto check = [&] {
    for (const int32_t copied : to) WINNOW_CHECK(from.count(copied) == 0) << copied;
  };
  for (const SlotCopy& copy : batch.slot_copies) {
    from.insert(copy.from);
    WINNOW_CHECK(to.insert(copy.to).second) << "slot " << copy.to << " is copied to twice";
    WINNOW_CHECK(!slots_[copy.from].lost) << "copy of a lost slot " << copy.from;
    Slot& slot = slots_[copy.to];
    slot = slots_[copy.from];
    WINNOW_CHECK(slot.known_tokens == slot.num_tokens) << "copy of a slot in flight " << copy.from;
    slot.sequence = slot.sequence_from[slot.num_tokens] = ++num_sequences_;
  }
  check();
  from.clear();
  to.clear();
  for (const PageCopy& copy : batch.page_copies) {
    from.insert(copy.from);
    WINNOW_CHECK(to.insert(copy.to).second) << "page " << copy.to << " is copied to twice";
    memory_[copy.to] = memory_[copy.from];
  }
  check();
}

void FakeModel::Begin(const StepBatch& batch) {
  CopyForks(batch);
  for (const int32_t slot : batch.zero_slots) {
    slots_[slot] = Slot();
    slots_[slot].lost = false;
    slots_[slot].sequence = slots_[slot].sequence_from[0] = ++num_sequences_;
    slots_[slot].hash = options_.seed;
    slots_[slot].table.resize(spec_.table_entries(), kScratchPage);
    slots_[slot].kept.resize(spec_.num_kept_lists());
    slots_[slot].known_kept.resize(spec_.num_kept_lists());
    slots_[slot].kept_tags.resize(spec_.num_kept_lists());
  }
  for (const PageTableEdit& edit : batch.page_edits) {
    WINNOW_CHECK(1 <= edit.slot && edit.slot <= limits_.num_slots) << edit.slot;
    WINNOW_CHECK(0 <= edit.entry && edit.entry < spec_.table_entries()) << edit.entry;
    WINNOW_CHECK(0 <= edit.page && edit.page <= limits_.num_pages) << edit.page;
    WINNOW_CHECK(!slots_[edit.slot].lost) << "edit of an idle slot " << edit.slot;
    slots_[edit.slot].table[edit.entry] = edit.page;
  }
}

void FakeModel::CheckSequence(const Slot& slot, int64_t position, int64_t num_tokens) const {
  WINNOW_CHECK(!slot.lost) << "the sequence's state is lost or was never begun";
  WINNOW_CHECK(slot.num_tokens == position) << slot.num_tokens << " computed, now " << position;
  const int64_t piece = std::min(limits_.prompt_piece, limits_.max_step_tokens);
  WINNOW_CHECK(num_tokens == 1 || position % piece == 0) << position << " is no piece's begin";
  WINNOW_CHECK(num_tokens <= piece) << num_tokens << " tokens of one sequence";
}

void FakeModel::CheckTable(const Slot& slot, int64_t after) const {
  for (const PageList& list : spec_.lists()) {
    const bool is_kept = list.kind == PageListKind::kKept;
    const int64_t kept = is_kept ? slot.known_kept[list.kept_index] : 0;
    const int64_t needed = spec_.PagesFor(list, slot.known_tokens, after, kept);
    for (int64_t i = 0; i < list.max_pages; ++i) {
      const int32_t page = slot.table[list.first_entry + i];
      WINNOW_CHECK((page != kScratchPage) == (i < needed))
          << "entry " << i << " of " << needed << " holds page " << page;
    }
  }
}

uint64_t FakeModel::Tag(const Slot& slot, size_t l, int64_t position) const {
  const uint64_t sequence = std::prev(slot.sequence_from.upper_bound(position))->second;
  return Mix(Mix(sequence, l), position);
}

uint64_t& FakeModel::At(const Slot& slot, const PageList& list, int64_t place) {
  const int32_t page = slot.table[list.first_entry + place / spec_.page_tokens()];
  return memory_[page][place % spec_.page_tokens()];
}

void FakeModel::CheckMemory(const Slot& slot) {
  for (size_t l = 0; l < spec_.lists().size(); ++l) {
    const PageList& list = spec_.lists()[l];
    if (list.kind == PageListKind::kKept) {
      const std::vector<uint64_t>& tags = slot.kept_tags[list.kept_index];
      for (size_t i = 0; i < tags.size(); ++i) {
        WINNOW_CHECK(At(slot, list, i) == tags[i]) << "kept place " << i << " of list " << l;
      }
      continue;
    }
    const int64_t capacity = list.kind == PageListKind::kRing ? list.capacity : slot.num_tokens;
    for (int64_t j = std::max<int64_t>(0, slot.num_tokens - capacity); j < slot.num_tokens; ++j) {
      WINNOW_CHECK(At(slot, list, j % capacity) == Tag(slot, l, j)) << j << " of list " << l;
    }
  }
}

void FakeModel::Advance(Slot& slot, const StepBatch& batch, size_t b, StepResult* result) {
  const int64_t before = slot.num_tokens;
  size_t next = result->rows.size();
  for (int64_t row = batch.row_offsets[b]; row < batch.row_offsets[b + 1]; ++row) {
    WINNOW_CHECK(batch.positions[row] == slot.num_tokens) << batch.positions[row];
    slot.hash = Mix(slot.hash, TokenId(batch.tokens[row], drawn_.data()));
    ++slot.num_tokens;
    for (; next < batch.logits_rows.size() && batch.logits_rows[next].row == row; ++next) {
      const LogitsRow& asked = batch.logits_rows[next];
      if (asked.purpose == RowPurpose::kSample) CheckOutput(asked, slot);
      result->rows.push_back(Answer(slot.hash, asked));
      if (asked.slot != kScratchSlot && !result->rows.back().fault) {
        WINNOW_CHECK(asked.slot == batch.slots[b]) << asked.slot;
        drawn_[asked.slot] = result->rows.back().token;
      }
    }
  }
  WriteKeys(slot, before, slot.num_tokens);
  result->kept_counts.insert(result->kept_counts.end(), slot.kept.begin(), slot.kept.end());
}

// Prompt and output are all that comes before the token; what is not known is said to be in flight.
void FakeModel::CheckOutput(const LogitsRow& row, const Slot& slot) const {
  const TokenContext& context = row.context;
  const int64_t known = static_cast<int64_t>(context.prompt.size() + context.output.size());
  WINNOW_CHECK(row.position == slot.num_tokens) << row.position;
  WINNOW_CHECK(known + context.output_in_flight == row.position) << known << " before the token";
}

void FakeModel::WriteKeys(Slot& slot, int64_t before, int64_t after) {
  for (size_t l = 0; l < spec_.lists().size(); ++l) {
    const PageList& list = spec_.lists()[l];
    if (list.kind == PageListKind::kKept) {
      WriteKept(slot, l, before, after);
      continue;
    }
    const int64_t capacity = list.kind == PageListKind::kRing ? list.capacity : after;
    for (int64_t j = std::max(before, after - capacity); j < after; ++j) {
      At(slot, list, j % capacity) = Tag(slot, l, j);
    }
  }
}

void FakeModel::WriteKept(Slot& slot, size_t l, int64_t before, int64_t after) {
  const PageList& list = spec_.lists()[l];
  std::vector<uint64_t>& tags = slot.kept_tags[list.kept_index];
  const int64_t departures =
      std::max<int64_t>(0, after - list.span) - std::max<int64_t>(0, before - list.span);
  const int64_t most = std::min<int64_t>(list.capacity, tags.size() + departures);
  const bool fewer = Unit(random_()) < options_.fewer_kept_rate;
  const int64_t least = fewer ? 0 : static_cast<int64_t>(tags.size());
  const int64_t kept = std::uniform_int_distribution<int64_t>(least, most)(random_);
  // Every place that the step may write, those too that stay unused.
  for (int64_t i = static_cast<int64_t>(tags.size()); i < most; ++i) {
    tags.push_back(Mix(Tag(slot, l, i), after));
    At(slot, list, i) = tags.back();
  }
  tags.resize(kept);
  slot.kept[list.kept_index] = static_cast<int32_t>(kept);
}

RowResult FakeModel::Answer(uint64_t hash, const LogitsRow& row) const {
  RowResult result;
  const bool sample = row.purpose == RowPurpose::kSample;
  result.token = sample ? Mix(hash, row.sampling.seed) % options_.vocab_size : row.score_token;
  const auto& suppressed = row.context.suppressed;
  while (std::find(suppressed.begin(), suppressed.end(), result.token) != suppressed.end()) {
    result.token = (result.token + 1) % options_.vocab_size;
  }
  result.fault = sample && Unit(Mix(hash, 1)) < options_.fault_rate;
  if (!row.want_logprobs) return result;
  const uint64_t about = Mix(hash, result.token);
  result.logprob = -static_cast<float>(Unit(about));
  result.rank = 1 + about % options_.vocab_size;
  for (uint32_t i = 0; i < row.num_top; ++i) {
    result.top.push_back({i, -static_cast<float>(Unit(Mix(hash, 2 + i)))});
  }
  return result;
}

FakeAnswer FakeModel::Predict(const RequestSpec& spec, uint32_t choice) const {
  FakeAnswer answer;
  uint64_t hash = options_.seed;
  const auto ask = [&](LogitsRow row, std::vector<OutputToken>* out) {
    const RowResult r = Answer(hash, row);
    if (!r.fault) out->push_back({r.token, r.logprob, r.rank, r.top});
    return r.fault;
  };
  LogitsRow score;
  score.purpose = RowPurpose::kScore;
  score.want_logprobs = true;
  score.num_top = spec.prompt_logprobs.value_or(0);
  for (size_t i = 0; i < spec.prompt.size(); ++i) {
    hash = Mix(hash, spec.prompt[i]);
    if (i + 1 == spec.prompt.size() || !spec.prompt_logprobs.has_value()) continue;
    score.score_token = spec.prompt[i + 1];
    ask(score, &answer.prompt_logprobs);
  }
  const std::unique_ptr<StopMatcher> matcher =
      spec.make_stop_matcher ? spec.make_stop_matcher() : nullptr;
  LogitsRow sample;
  sample.sampling = spec.sampling;
  sample.sampling.seed = DeriveSeed(spec.sampling.seed, choice);
  sample.want_logprobs = spec.logprobs.has_value();
  sample.num_top = spec.logprobs.value_or(0);
  int64_t most = spec.max_tokens;
  const auto limit = limits_.max_sequence_tokens;
  if (limit.has_value()) most = std::min<int64_t>(most, *limit - spec.prompt.size());
  while (static_cast<int64_t>(answer.tokens.size()) < most) {
    const bool may_stop = answer.tokens.size() >= spec.min_tokens;
    sample.context.suppressed = may_stop ? std::span<const uint32_t>() : spec.stop_token_ids;
    if (ask(sample, &answer.tokens)) {
      answer.reason = FinishReason::kError;
      break;
    }
    const uint32_t token = answer.tokens.back().token;
    const auto& stops = spec.stop_token_ids;
    bool stop = may_stop && std::find(stops.begin(), stops.end(), token) != stops.end();
    if (matcher != nullptr) stop |= matcher->Append(token, may_stop).has_value();
    if (stop) {
      answer.reason = FinishReason::kStop;
      break;
    }
    hash = Mix(hash, token);
  }
  return answer;
}

}  // namespace winnow
