// SequencePages: the pages that one sequence holds, list by list (StateSpec::lists()), and what the
// device's page table says of them.
//
//   pages.Reserve(pool, spec.MaxPages(most_tokens));                    at admission
//   pages.Provide(spec, pool, slot, before, after, kept, &edits);       when a step is planned
//   pages.ReturnUnused(spec, pool, after, kept);                        when it is committed
//   pages.ReturnAll(pool);                                              at the end
//
// STALE ENTRIES. A page that ReturnUnused gave back may belong to another sequence at once, while
// this one's table still names it. Nothing runs between that and the next Provide, whose edits are
// applied before its step and overwrite every such entry: with a new page if the step needs one
// there, else with kScratchPage. After ReturnAll the table is dead until the slot's next sequence
// begins, and that zeroes it. So no step ever sees an entry that names a page of somebody else.
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
  // Takes the promise of at most `bound` pages; false and no change if the pool can't give it.
  bool Reserve(PagePool& pool, int64_t bound) { return pool.Reserve(bound, reservation_); }

  // Takes what a step from `before` to `after` computed tokens may write, kept[i] tokens being kept
  // by kept list i before it, and appends the edits of slot `slot`'s page table. REQUIRES: before
  // the sequence's first step the slot's table is zeroed.
  void Provide(const StateSpec& spec, PagePool& pool, int32_t slot, int64_t before, int64_t after,
               absl::Span<const int32_t> kept, std::vector<PageTableEdit>* edits);

  // Gives back what the sequence does not need with `computed` tokens and these kept counts.
  void ReturnUnused(const StateSpec& spec, PagePool& pool, int64_t computed,
                    absl::Span<const int32_t> kept);

  // Gives back every page and the promise.
  void ReturnAll(PagePool& pool);

  const Reservation& reservation() const { return reservation_; }
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

  Reservation reservation_;
  std::vector<List> lists_;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_SEQUENCE_PAGES_H_
