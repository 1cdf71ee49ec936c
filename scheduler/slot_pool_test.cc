#include "scheduler/slot_pool.h"

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(SlotPoolTest, HandsOutEverySlotOnceAndNeverScratch) {
  SlotPool pool(5);
  Reservation r;
  ASSERT_TRUE(pool.Reserve(5, r));
  std::set<int32_t> slots;
  for (int i = 0; i < 5; ++i) slots.insert(pool.Acquire(r));
  EXPECT_EQ(slots, (std::set<int32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(pool.used(), 5);
  for (const int32_t slot : slots) pool.Release(slot, r);
  EXPECT_EQ(pool.used(), 0);
  EXPECT_EQ(pool.reserved(), 5);
  pool.Lower(0, r);
  EXPECT_EQ(pool.reserved(), 0);
}

TEST(SlotPoolTest, PromisesNoMoreThanItHas) {
  SlotPool pool(3);
  Reservation a, b;
  ASSERT_TRUE(pool.Reserve(2, a));
  EXPECT_FALSE(pool.Reserve(2, b));
  EXPECT_EQ(b.bound, 0);
  EXPECT_TRUE(pool.Reserve(1, b));
  EXPECT_EQ(pool.reserved(), 3);
}

TEST(SlotPoolTest, EmptyPoolPromisesNothing) {
  SlotPool pool(0);
  Reservation r;
  EXPECT_FALSE(pool.Reserve(1, r));
  EXPECT_TRUE(pool.Reserve(0, r));
  pool.CheckInvariants();
}

TEST(SlotPoolDeathTest, MisuseIsCaught) {
  SlotPool pool(2);
  Reservation r, other;
  ASSERT_TRUE(pool.Reserve(1, r));
  const int32_t slot = pool.Acquire(r);
  EXPECT_DEATH(pool.Acquire(r), "all 1 held");
  EXPECT_DEATH(pool.Release(0, r), "slot 0 of 2");
  EXPECT_DEATH(pool.Release(3, r), "slot 3 of 2");
  EXPECT_DEATH(pool.Release(slot, other), "belongs to another reservation");
  EXPECT_DEATH(pool.Lower(0, r), "1 slots held, over 0");
  EXPECT_DEATH(pool.Lower(2, r), "2 over 1");
  EXPECT_DEATH(pool.Reserve(1, r), "over 1");
  pool.Release(slot, r);
  EXPECT_DEATH(pool.Release(slot, r), "is free already");
}

// The pool against sets of integers.
TEST(SlotPoolTest, RandomOperationsAgreeWithANaiveModel) {
  constexpr int64_t kSlots = 13;
  SlotPool pool(kSlots);
  struct Holder {
    Reservation reservation;
    int64_t bound = 0;
    std::vector<int32_t> slots;
  };
  std::vector<Holder> holders(6);
  std::set<int32_t> used;
  int64_t reserved = 0;
  std::mt19937 random(20260101);
  for (int i = 0; i < 20000; ++i) {
    Holder& h = holders[random() % holders.size()];
    const uint32_t n = random() % 6;
    switch (random() % 4) {
      case 0:
        if (h.bound == 0) {
          const bool fits = reserved + n <= kSlots;
          ASSERT_EQ(pool.Reserve(n, h.reservation), fits);
          if (fits) reserved += h.bound = n;
        }
        break;
      case 1:
        if (static_cast<int64_t>(h.slots.size()) < h.bound) {
          h.slots.push_back(pool.Acquire(h.reservation));
          ASSERT_GE(h.slots.back(), 1);
          ASSERT_LE(h.slots.back(), kSlots);
          ASSERT_TRUE(used.insert(h.slots.back()).second);
        }
        break;
      case 2:
        if (!h.slots.empty()) {
          std::swap(h.slots[random() % h.slots.size()], h.slots.back());
          pool.Release(h.slots.back(), h.reservation);
          used.erase(h.slots.back());
          h.slots.pop_back();
        }
        break;
      case 3:
        if (const int64_t lowest = h.slots.size(); lowest <= h.bound) {
          const int64_t bound = lowest + static_cast<int64_t>(random() % (h.bound - lowest + 1));
          pool.Lower(bound, h.reservation);
          reserved -= h.bound - bound;
          h.bound = bound;
        }
        break;
    }
    ASSERT_EQ(h.reservation.bound, h.bound);
    ASSERT_EQ(h.reservation.held, static_cast<int64_t>(h.slots.size()));
    ASSERT_EQ(pool.used(), static_cast<int64_t>(used.size()));
    ASSERT_EQ(pool.reserved(), reserved);
    pool.CheckInvariants();
  }
}

}  // namespace
}  // namespace winnow
