// SlotPool: which state slots are free. Integers only; the memory is the StateStore's.
//
//   Reservation r;
//   if (!pool.Reserve(1, r)) ...wait...
//   int32_t slot = pool.Acquire(r);
//   pool.Release(slot, r);
//   pool.Lower(0, r);
//
// Slots are 1..num_slots (model/state_spec.h has the scratch rule). Every operation is O(1). Single
// threaded. Misuse (a slot released twice, more acquired than reserved) is CHECKed.
#ifndef WINNOW_SCHEDULER_SLOT_POOL_H_
#define WINNOW_SCHEDULER_SLOT_POOL_H_

#include <cstdint>
#include <vector>

#include "scheduler/reservation.h"

namespace winnow {

class SlotPool {
 public:
  // REQUIRES: 0 <= num_slots < 2^31.
  explicit SlotPool(int64_t num_slots);

  // Promises n slots; false and no change when fewer are unpromised. REQUIRES: n >= 0 and the
  // reservation is empty.
  bool Reserve(int64_t n, Reservation& reservation);
  // Lowers the promise to `bound`; 0 ends it. REQUIRES: held <= bound <= the bound until now.
  void Lower(int64_t bound, Reservation& reservation);

  // Takes a slot. REQUIRES: held < bound.
  int32_t Acquire(Reservation& reservation);
  // Gives a slot back to the pool; the reservation may acquire again. REQUIRES: it was acquired by
  // this reservation.
  void Release(int32_t slot, Reservation& reservation);

  int64_t total() const { return static_cast<int64_t>(in_use_.size()); }
  int64_t reserved() const { return reserved_; }  // sum of the bounds of all reservations
  int64_t used() const { return total() - static_cast<int64_t>(free_.size()); }

  // Rebuilds the invariants from scratch and CHECKs them; O(num_slots), for tests.
  void CheckInvariants() const;

 private:
  std::vector<int32_t> free_;  // a stack
  std::vector<bool> in_use_;   // [slot - 1]
  int64_t reserved_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_SLOT_POOL_H_
