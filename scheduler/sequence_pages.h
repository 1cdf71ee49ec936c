// SequencePages: the pages that one sequence holds, list by list (StateSpec::lists()), and what the
// device's page table says of them.
//
//   pages.Provide(spec, pool, promise, slot, before, after, kept, &edits);  when a step is planned
//   pages.ReturnUnused(spec, pool, promise, after, after, kept);            when it is committed
//   other.Fork(spec, pool, promise, pages, after, slot, &copies, &edits);   goes on from here
//   pages.ReturnAll(pool, promise);                                         at the end
//
// `promise` is the reservation of the request: its sequences take their pages within it.
//
// STALE ENTRIES. A page that ReturnUnused gave back may belong to another sequence at once, while
// this one's table still names it. A step of this sequence in flight sees such an entry but has no
// use for its places; and the next Provide's edits, applied before its step, overwrite it: with a
// new page if the step needs one there, else with kScratchPage. After ReturnAll the table is dead
// until the slot's next sequence begins, and that zeroes it. So no step ever reads or writes a page
// of somebody else. (Nor does a step in flight that was planned before ReturnAll: the page's next
// holder uses it in a step that runs later.)
//
// Single threaded, on the engine thread.
#ifndef WINNOW_SCHEDULER_SEQUENCE_PAGES_H_
#define WINNOW_SCHEDULER_SEQUENCE_PAGES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "model/state_spec.h"
#include "model/step.h"
#include "scheduler/page_pool.h"
#include "scheduler/reservation.h"

namespace winnow {

class SequencePages {
 public:
  // Takes what the steps from `before` to `after` computed tokens may write, kept[i] tokens being
  // kept by kept list i before them, and appends the edits of slot `slot`'s page table. REQUIRES:
  // before the sequence's first step the slot's table is zeroed, or `Fork` was called.
  void Provide(const StateSpec& spec, PagePool& pool, Reservation& promise, int32_t slot,
               int64_t before, int64_t after, absl::Span<const int32_t> kept,
               std::vector<PageTableEdit>* edits);

  // Gives back what the sequence does not need with `computed` tokens and these kept counts, nor
  // the steps in flight that bring it to `planned` tokens.
  void ReturnUnused(const StateSpec& spec, PagePool& pool, Reservation& promise, int64_t computed,
                    int64_t planned, absl::Span<const int32_t> kept);

  // Becomes what `parent` is, which has `computed` computed tokens: shares its full pages of
  // growing lists, and takes a page of its own for every other one, to be copied before the next
  // step. Slot `slot` gets a copy of the parent's table at the same time; the edits then apply to
  // it. REQUIRES: holds nothing; parent gave back what it does not need.
  void Fork(const StateSpec& spec, PagePool& pool, Reservation& promise,
            const SequencePages& parent, int64_t computed, int32_t slot,
            std::vector<PageCopy>* copies, std::vector<PageTableEdit>* edits);

  // Gives back every page.
  void ReturnAll(PagePool& pool, Reservation& promise);

  // Pages of list l; empty before the first Provide.
  absl::Span<const int32_t> list(size_t l) const {
    return l < lists_.size() ? absl::MakeConstSpan(lists_[l].pages) : absl::Span<const int32_t>();
  }

 private:
  struct List {
    bool Full(const PageList& list) const;  // every entry of the table has its page, and knows it

    std::vector<int32_t> pages;
    int64_t num_entries = 0;  // entries of the device's table that are not kScratchPage
  };

  std::vector<List> lists_;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_SEQUENCE_PAGES_H_
