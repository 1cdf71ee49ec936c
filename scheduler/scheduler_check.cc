// Scheduler::CheckInvariants: everything that must hold between two calls, rebuilt from scratch.
#include <algorithm>

#include "kernels/check.h"
#include "scheduler/scheduler.h"

namespace winnow {

void Scheduler::CheckInvariants() const {
  slots_.CheckInvariants();
  pages_.CheckInvariants();
  waiting_.CheckInvariants();
  std::vector<bool> slots_seen(slots_.total() + 1);
  std::vector<int32_t> references(pages_.total() + 1);
  int64_t slots_reserved = 0, slots_used = 0, pages_reserved = 0, pages_used = 0;
  for (const auto& request : running_) {
    CheckRunning(*request);
    for (const Sequence& sequence : request->sequences) {
      if (sequence.state != SequenceState::kRunning) continue;
      WINNOW_CHECK(!slots_seen[sequence.slot]) << "slot " << sequence.slot << " belongs to two";
      slots_seen[sequence.slot] = true;
      ++slots_used;
    }
    slots_reserved += request->slots.bound;
    pages_reserved += request->pages.bound;
    pages_used += CheckPages(*request, &references);
  }
  WINNOW_CHECK(slots_.used() == slots_used) << slots_.used();
  WINNOW_CHECK(slots_.reserved() == slots_reserved) << slots_.reserved();
  WINNOW_CHECK(pages_.used() == pages_used) << pages_.used();
  WINNOW_CHECK(pages_.reserved() == pages_reserved) << pages_.reserved();
  for (int32_t page = 1; page <= pages_.total(); ++page) {
    WINNOW_CHECK(pages_.references(page) == references[page]) << page;
  }
  for (const Ended& ended : ended_) {
    const Sequence& sequence = ended.request->sequences[ended.choice];
    WINNOW_CHECK(sequence.state == SequenceState::kEnded) << ended.request->spec().id;
  }
}

void Scheduler::CheckRunning(const Request& request) const {
  WINNOW_CHECK(request.state() == RequestState::kRunning) << request.spec().id;
  const int64_t num_live = request.num_live();
  WINNOW_CHECK(num_live > 0) << request.spec().id;
  WINNOW_CHECK(request.slots.bound == MaxSlots(request.max_output, num_live));
  WINNOW_CHECK(request.pages.bound == MaxPages(request.num_prompt(), request.max_output, num_live));
  int64_t num_running = 0;
  for (const Sequence& sequence : request.sequences) {
    CheckSequence(request, sequence);
    num_running += sequence.state == SequenceState::kRunning;
  }
  WINNOW_CHECK(num_running == (request.prompt_done.has_value() ? num_live : 1)) << num_running;
  WINNOW_CHECK(request.slots.held == num_running) << request.slots.held;
}

void Scheduler::CheckSequence(const Request& request, const Sequence& sequence) const {
  if (sequence.state != SequenceState::kRunning) {
    WINNOW_CHECK(sequence.slot == kScratchSlot) << request.spec().id;
    for (size_t l = 0; l < spec_.lists().size(); ++l) WINNOW_CHECK(sequence.pages.list(l).empty());
    return;
  }
  WINNOW_CHECK(1 <= sequence.slot && sequence.slot <= slots_.total()) << sequence.slot;
  const int64_t computed = sequence.num_computed, known = request.num_known(sequence);
  WINNOW_CHECK(computed < known) << "nothing left to compute";
  WINNOW_CHECK(static_cast<int64_t>(sequence.output.size()) <= request.max_output);
  int64_t in_flight = 0;
  for (const Step& step : in_flight_) {
    for (const Turn& turn : step.turns)
      in_flight += turn.sequence == &sequence ? turn.num_tokens : 0;
  }
  WINNOW_CHECK(sequence.num_planned == computed + in_flight) << sequence.num_planned;
  WINNOW_CHECK(sequence.num_planned <=
               request.num_prompt() + std::max<int64_t>(0, request.max_output - 1))
      << sequence.num_planned << " planned, more than there can be";
  const bool prompt_computed = request.prompt_computed(sequence);
  WINNOW_CHECK(prompt_computed == request.prompt_done.has_value()) << request.spec().id;
  WINNOW_CHECK(prompt_computed ? computed == known - 1 : computed % prompt_piece() == 0)
      << computed << " of " << known;
}

int64_t Scheduler::CheckPages(const Request& request, std::vector<int32_t>* references) const {
  int64_t held = 0;
  for (const Sequence& sequence : request.sequences) {
    if (sequence.state != SequenceState::kRunning) continue;
    for (size_t l = 0; l < spec_.lists().size(); ++l) {
      const PageList& list = spec_.lists()[l];
      const bool kept = list.kind == PageListKind::kKept && !sequence.kept_counts.empty();
      const int64_t needed = spec_.PagesFor(list, sequence.num_computed, sequence.num_planned,
                                            kept ? sequence.kept_counts[list.kept_index] : 0);
      const absl::Span<const int32_t> pages = sequence.pages.list(l);
      WINNOW_CHECK(static_cast<int64_t>(pages.size()) == needed) << "list " << l;
      for (int64_t i = 0; i < needed; ++i) {
        // Only what the prompt filled for good may be shared, and only among the choices.
        const bool shareable = i < spec_.FullPages(list, request.num_prompt());
        int32_t& seen = (*references)[pages[i]];
        WINNOW_CHECK(seen == 0 || shareable) << "page " << pages[i] << " is in two lists";
        if (seen++ == 0) ++held;
      }
    }
  }
  WINNOW_CHECK(request.pages.held == held) << request.pages.held;
  return held;
}

}  // namespace winnow
