#include "scheduler/page_pool.h"

#include <limits>

#include "kernels/check.h"

namespace winnow {

PagePool::PagePool(int64_t num_pages) {
  WINNOW_CHECK(0 <= num_pages && num_pages < std::numeric_limits<int32_t>::max()) << num_pages;
  references_.resize(num_pages);
  free_.reserve(num_pages);
  for (int64_t page = num_pages; page >= 1; --page) free_.push_back(static_cast<int32_t>(page));
}

bool PagePool::Reserve(int64_t n, Reservation& reservation) {
  WINNOW_CHECK(n >= 0 && reservation.bound == 0) << n << " over " << reservation.bound;
  if (n > total() - reserved_) return false;
  reserved_ += n;
  reservation.bound = n;
  return true;
}

void PagePool::Lower(int64_t bound, Reservation& reservation) {
  WINNOW_CHECK(reservation.held <= bound) << reservation.held << " pages held, over " << bound;
  WINNOW_CHECK(bound <= reservation.bound) << bound << " over " << reservation.bound;
  reserved_ -= reservation.bound - bound;
  reservation.bound = bound;
}

int32_t PagePool::Take(Reservation& reservation) {
  WINNOW_CHECK(reservation.held < reservation.bound) << "all " << reservation.bound << " held";
  WINNOW_CHECK(!free_.empty()) << "promised more pages than there are";
  const int32_t page = free_.back();
  free_.pop_back();
  references_[page - 1] = 1;
  ++reservation.held;
  return page;
}

void PagePool::AddRef(int32_t page) {
  WINNOW_CHECK(references(page) > 0) << "page " << page << " is free";
  ++references_[page - 1];
}

void PagePool::Return(int32_t page, Reservation& reservation) {
  WINNOW_CHECK(references(page) > 0) << "page " << page << " is free already";
  WINNOW_CHECK(reservation.held > 0) << "page " << page << " belongs to another reservation";
  if (--references_[page - 1] > 0) return;
  free_.push_back(page);
  --reservation.held;
}

int32_t PagePool::references(int32_t page) const {
  WINNOW_CHECK(1 <= page && page <= total()) << "page " << page << " of " << total();
  return references_[page - 1];
}

void PagePool::CheckInvariants() const {
  WINNOW_CHECK(used() <= reserved_ && reserved_ <= total()) << used() << " " << reserved_;
  std::vector<bool> present(references_.size());
  for (size_t i = 0; i < references_.size(); ++i) {
    WINNOW_CHECK(references_[i] >= 0) << "page " << i + 1;
    present[i] = references_[i] > 0;
  }
  for (const int32_t page : free_) {
    WINNOW_CHECK(1 <= page && page <= total()) << page;
    WINNOW_CHECK(!present[page - 1]) << "page " << page << " is free twice, or free and in use";
    present[page - 1] = true;
  }
  for (const bool found : present) WINNOW_CHECK(found) << "a page was lost";
}

}  // namespace winnow
