#include "scheduler/slot_pool.h"

#include <limits>

#include "kernels/check.h"

namespace winnow {

SlotPool::SlotPool(int64_t num_slots) {
  WINNOW_CHECK(0 <= num_slots && num_slots < std::numeric_limits<int32_t>::max()) << num_slots;
  in_use_.resize(num_slots);
  free_.reserve(num_slots);
  for (int64_t slot = num_slots; slot >= 1; --slot) free_.push_back(static_cast<int32_t>(slot));
}

bool SlotPool::Reserve(int64_t n, Reservation& reservation) {
  WINNOW_CHECK(n >= 0 && reservation.bound == 0) << n << " over " << reservation.bound;
  if (n > total() - reserved_) return false;
  reserved_ += n;
  reservation.bound = n;
  return true;
}

void SlotPool::Lower(int64_t bound, Reservation& reservation) {
  WINNOW_CHECK(reservation.held <= bound) << reservation.held << " slots held, over " << bound;
  WINNOW_CHECK(bound <= reservation.bound) << bound << " over " << reservation.bound;
  reserved_ -= reservation.bound - bound;
  reservation.bound = bound;
}

int32_t SlotPool::Acquire(Reservation& reservation) {
  WINNOW_CHECK(reservation.held < reservation.bound) << "all " << reservation.bound << " held";
  WINNOW_CHECK(!free_.empty()) << "promised more slots than there are";
  const int32_t slot = free_.back();
  free_.pop_back();
  in_use_[slot - 1] = true;
  ++reservation.held;
  return slot;
}

void SlotPool::Release(int32_t slot, Reservation& reservation) {
  WINNOW_CHECK(1 <= slot && slot <= total()) << "slot " << slot << " of " << total();
  WINNOW_CHECK(in_use_[slot - 1]) << "slot " << slot << " is free already";
  WINNOW_CHECK(reservation.held > 0) << "slot " << slot << " belongs to another reservation";
  in_use_[slot - 1] = false;
  free_.push_back(slot);
  --reservation.held;
}

void SlotPool::CheckInvariants() const {
  WINNOW_CHECK(used() <= reserved_ && reserved_ <= total()) << used() << " " << reserved_;
  std::vector<bool> seen = in_use_;
  for (const int32_t slot : free_) {
    WINNOW_CHECK(1 <= slot && slot <= total()) << slot;
    WINNOW_CHECK(!seen[slot - 1]) << "slot " << slot << " is free twice, or free and in use";
    seen[slot - 1] = true;
  }
  for (const bool present : seen) WINNOW_CHECK(present) << "a slot was lost";
}

}  // namespace winnow
