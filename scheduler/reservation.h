// Reservation: a pool's promise to one holder, which may hold up to `bound` units at any time.
//
// Plain data that belongs to the holder; only the pool that made it changes it. A pool promises at
// most what it has in sum, so taking within a reservation never fails.
#ifndef WINNOW_SCHEDULER_RESERVATION_H_
#define WINNOW_SCHEDULER_RESERVATION_H_

#include <cstdint>

namespace winnow {

struct Reservation {
  int64_t bound = 0;  // units promised
  int64_t held = 0;   // units taken, <= bound
};

}  // namespace winnow

#endif  // WINNOW_SCHEDULER_RESERVATION_H_
