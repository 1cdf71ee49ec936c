// Scheduler::CheckInvariants: everything that must hold between two calls, rebuilt from scratch.
#include <algorithm>

#include "kernels/check.h"
#include "scheduler/scheduler.h"

namespace winnow {

void Scheduler::CheckInvariants() const {
  slots_.CheckInvariants();
  pages_.CheckInvariants();
  waiting_.CheckInvariants();
  std::vector<bool> slots_seen(slots_.total() + 1), pages_seen(pages_.total() + 1);
  int64_t pages_reserved = 0, pages_used = 0;
  for (const auto& request : running_) {
    CheckRunning(*request);
    const int32_t slot = request->resources.slot;
    WINNOW_CHECK(!slots_seen[slot]) << "slot " << slot << " belongs to two";
    slots_seen[slot] = true;
    pages_reserved += request->resources.pages.reservation().bound;
    pages_used += CheckPages(*request, &pages_seen);
  }
  const int64_t running = static_cast<int64_t>(running_.size());
  WINNOW_CHECK(slots_.used() == running && slots_.reserved() == running) << slots_.used();
  WINNOW_CHECK(pages_.reserved() == pages_reserved) << pages_.reserved();
  WINNOW_CHECK(pages_.used() == pages_used) << pages_.used();
  for (const auto& request : ended_) {
    WINNOW_CHECK(request->state() == RequestState::kFinished) << request->spec().id;
    WINNOW_CHECK(request->resources.slot == kScratchSlot) << request->spec().id;
  }
}

void Scheduler::CheckRunning(const Request& request) const {
  const SequenceResources& own = request.resources;
  WINNOW_CHECK(request.state() == RequestState::kRunning) << request.spec().id;
  WINNOW_CHECK(1 <= own.slot && own.slot <= slots_.total()) << own.slot;
  WINNOW_CHECK(own.slots.bound == 1 && own.slots.held == 1) << request.spec().id;
  WINNOW_CHECK(own.pages.reservation().bound == MaxPages(request.num_prompt(), request.max_output));
  WINNOW_CHECK(request.num_computed < request.num_known()) << "nothing left to compute";
  WINNOW_CHECK(request.prompt_computed() || request.num_computed % prompt_piece() == 0)
      << request.num_computed;
  WINNOW_CHECK(request.prompt_computed() == request.prompt_done.has_value()) << request.spec().id;
  WINNOW_CHECK(!request.prompt_computed() || request.num_computed == request.num_known() - 1);
  WINNOW_CHECK(request.num_output() <= request.max_output) << request.num_output();
}

int64_t Scheduler::CheckPages(const Request& request, std::vector<bool>* seen) const {
  const SequencePages& pages = request.resources.pages;
  const auto turn = std::find_if(planned_.begin(), planned_.end(),
                                 [&](const Turn& t) { return t.request == &request; });
  const int64_t before = request.num_computed;
  const int64_t after = before + (turn == planned_.end() ? 0 : turn->num_tokens);
  int64_t used = 0;
  for (size_t l = 0; l < spec_.lists().size(); ++l) {
    const PageList& list = spec_.lists()[l];
    const bool kept = list.kind == PageListKind::kKept && !request.kept_counts.empty();
    const int64_t needed =
        spec_.PagesFor(list, before, after, kept ? request.kept_counts[list.kept_index] : 0);
    WINNOW_CHECK(static_cast<int64_t>(pages.list(l).size()) == needed) << "list " << l;
    for (const int32_t page : pages.list(l)) {
      WINNOW_CHECK(pages_.references(page) == 1) << page;
      WINNOW_CHECK(!(*seen)[page]) << "page " << page << " is in two lists";
      (*seen)[page] = true;
    }
    used += needed;
  }
  WINNOW_CHECK(pages.reservation().held == used) << used;
  return used;
}

}  // namespace winnow
