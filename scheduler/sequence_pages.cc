#include "scheduler/sequence_pages.h"

#include <algorithm>

#include "kernels/check.h"

namespace winnow {
namespace {

int64_t KeptOf(const PageList& list, absl::Span<const int32_t> kept) {
  if (list.kind != PageListKind::kKept) return 0;
  return kept.empty() ? 0 : kept[list.kept_index];
}

}  // namespace

bool SequencePages::List::Full(const PageList& list) const {
  return num_entries == list.max_pages && static_cast<int64_t>(pages.size()) == list.max_pages;
}

void SequencePages::Provide(const StateSpec& spec, PagePool& pool, Reservation& promise,
                            int32_t slot, int64_t before, int64_t after,
                            absl::Span<const int32_t> kept, std::vector<PageTableEdit>* edits) {
  lists_.resize(spec.lists().size());
  for (size_t l = 0; l < lists_.size(); ++l) {
    const PageList& list = spec.lists()[l];
    List& own = lists_[l];
    if (own.Full(list)) continue;  // as most are in long sequences
    const int64_t needed = spec.PagesFor(list, before, after, KeptOf(list, kept));
    WINNOW_CHECK(needed <= list.max_pages) << needed << " pages in list " << l;
    for (int64_t i = static_cast<int64_t>(own.pages.size()); i < needed; ++i) {
      own.pages.push_back(pool.Take(promise));
      edits->push_back({slot, list.first_entry + i, own.pages.back()});
    }
    for (int64_t i = needed; i < own.num_entries; ++i) {
      edits->push_back({slot, list.first_entry + i, kScratchPage});
    }
    own.num_entries = needed;
  }
}

void SequencePages::ReturnUnused(const StateSpec& spec, PagePool& pool, Reservation& promise,
                                 int64_t computed, int64_t planned,
                                 absl::Span<const int32_t> kept) {
  for (size_t l = 0; l < lists_.size(); ++l) {
    const PageList& list = spec.lists()[l];
    if (list.kind != PageListKind::kKept) continue;  // the others only grow
    std::vector<int32_t>& pages = lists_[l].pages;
    const int64_t needed = spec.PagesFor(list, computed, planned, KeptOf(list, kept));
    while (static_cast<int64_t>(pages.size()) > needed) {
      pool.Return(pages.back(), promise);
      pages.pop_back();
    }
  }
}

void SequencePages::Fork(const StateSpec& spec, PagePool& pool, Reservation& promise,
                         const SequencePages& parent, int64_t computed, int32_t slot,
                         std::vector<PageCopy>* copies, std::vector<PageTableEdit>* edits) {
  WINNOW_CHECK(lists_.empty()) << lists_.size();
  lists_ = parent.lists_;
  for (size_t l = 0; l < lists_.size(); ++l) {
    const PageList& list = spec.lists()[l];
    std::vector<int32_t>& pages = lists_[l].pages;
    const int64_t num_shared = spec.FullPages(list, computed);
    for (int64_t i = 0; i < static_cast<int64_t>(pages.size()); ++i) {
      if (i < num_shared) {
        pool.AddRef(pages[i]);
        continue;
      }
      const int32_t own = pool.Take(promise);
      copies->push_back({.from = pages[i], .to = own});
      edits->push_back({slot, list.first_entry + i, own});
      pages[i] = own;
    }
  }
}

void SequencePages::ReturnAll(PagePool& pool, Reservation& promise) {
  for (List& list : lists_) {
    for (const int32_t page : list.pages) pool.Return(page, promise);
  }
  lists_.clear();
}

}  // namespace winnow
