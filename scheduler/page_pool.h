// PagePool: which key/value pages are free, and how many holders each of the others has. Integers
// only; the memory is the StateStore's.
//
//   Reservation r;
//   if (!pool.Reserve(upper_bound, r)) ...wait...
//   int32_t page = pool.Take(r);
//   pool.Return(page, r);    // r may take again
//   pool.Lower(0, r);       // at the end
//
// Admission promises a sequence the most pages that it can ever need; what it really holds follows
// its steps. So `reserved` is the sum of the upper bounds of what was admitted and decides whether
// more is, and `used` is the number of pages that hold something now.
//
// Sharing: a full page that is only ever read again may belong to several sequences of one
// reservation (AddRef). It counts once, and goes back when the last of them returns it.
//
// Pages are 1..num_pages (model/state_spec.h has the scratch rule). Every operation is O(1). Single
// threaded. Misuse (a page returned too often, more taken than reserved) is CHECKed.
#ifndef WINNOW_SCHEDULER_PAGE_POOL_H_
#define WINNOW_SCHEDULER_PAGE_POOL_H_

#include <cstdint>
#include <vector>

#include "scheduler/reservation.h"

namespace winnow {

class PagePool {
 public:
  // REQUIRES: 0 <= num_pages < 2^31.
  explicit PagePool(int64_t num_pages);

  // Promises n pages; false and no change when fewer are unpromised. REQUIRES: n >= 0 and the
  // reservation is empty.
  bool Reserve(int64_t n, Reservation& reservation);
  // Lowers the promise to `bound`; 0 ends it. REQUIRES: held <= bound <= the bound until now.
  void Lower(int64_t bound, Reservation& reservation);

  // Takes a page, with one reference. REQUIRES: held < bound.
  int32_t Take(Reservation& reservation);
  // One more sequence of the reservation that took the page refers to it.
  void AddRef(int32_t page);
  // One reference less; the last one gives the page back to the pool. REQUIRES: it was taken by
  // this reservation.
  void Return(int32_t page, Reservation& reservation);

  int64_t total() const { return static_cast<int64_t>(references_.size()); }
  int64_t reserved() const { return reserved_; }  // sum of the bounds of all reservations
  int64_t used() const { return total() - static_cast<int64_t>(free_.size()); }
  // Holders of a page; 0: it is free.
  int32_t references(int32_t page) const;

  // Rebuilds the invariants from scratch and CHECKs them; O(num_pages), for tests.
  void CheckInvariants() const;

 private:
  std::vector<int32_t> free_;        // a stack
  std::vector<int32_t> references_;  // [page - 1]
  int64_t reserved_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_PAGE_POOL_H_
