#include "scheduler/page_pool.h"

#include <map>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace winnow {
namespace {

TEST(PagePoolTest, HandsOutEveryPageOnceAndNeverScratch) {
  PagePool pool(4);
  Reservation r;
  ASSERT_TRUE(pool.Reserve(4, r));
  std::set<int32_t> pages;
  for (int i = 0; i < 4; ++i) pages.insert(pool.Take(r));
  EXPECT_EQ(pages, (std::set<int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(pool.used(), 4);
}

TEST(PagePoolTest, ReservedIsWhatWasPromisedAndUsedWhatIsHeld) {
  PagePool pool(10);
  Reservation a, b;
  ASSERT_TRUE(pool.Reserve(7, a));
  EXPECT_FALSE(pool.Reserve(4, b));
  ASSERT_TRUE(pool.Reserve(3, b));
  const int32_t page = pool.Take(a);
  EXPECT_EQ(pool.reserved(), 10);
  EXPECT_EQ(pool.used(), 1);
  pool.Return(page, a);
  EXPECT_EQ(pool.reserved(), 10);
  EXPECT_EQ(pool.used(), 0);
  pool.Lower(0, a);
  EXPECT_EQ(pool.reserved(), 3);
  EXPECT_EQ(pool.total(), 10);
}

TEST(PagePoolTest, SharedPageCountsOnceAndGoesBackWithTheLast) {
  PagePool pool(2);
  Reservation r;
  ASSERT_TRUE(pool.Reserve(1, r));
  const int32_t page = pool.Take(r);
  pool.AddRef(page);
  EXPECT_EQ(pool.references(page), 2);
  EXPECT_EQ(r.held, 1);
  pool.Return(page, r);
  EXPECT_EQ(pool.used(), 1);
  EXPECT_EQ(r.held, 1);
  pool.Return(page, r);
  EXPECT_EQ(pool.used(), 0);
  EXPECT_EQ(pool.references(page), 0);
  EXPECT_EQ(r.held, 0);
}

TEST(PagePoolDeathTest, MisuseIsCaught) {
  PagePool pool(2);
  Reservation r, other;
  ASSERT_TRUE(pool.Reserve(1, r));
  const int32_t page = pool.Take(r);
  EXPECT_DEATH(pool.Take(r), "all 1 held");
  EXPECT_DEATH(pool.Return(0, r), "page 0 of 2");
  EXPECT_DEATH(pool.Return(3, r), "page 3 of 2");
  EXPECT_DEATH(pool.Return(page, other), "belongs to another reservation");
  EXPECT_DEATH(pool.Lower(0, r), "1 pages held, over 0");
  EXPECT_DEATH(pool.Lower(2, r), "2 over 1");
  EXPECT_DEATH(pool.Reserve(1, r), "over 1");
  pool.Return(page, r);
  EXPECT_DEATH(pool.Return(page, r), "is free already");
  EXPECT_DEATH(pool.AddRef(page), "is free");
}

// The pool against maps and sets.
TEST(PagePoolTest, RandomOperationsAgreeWithANaiveModel) {
  constexpr int64_t kPages = 31;
  PagePool pool(kPages);
  struct Holder {
    Reservation reservation;
    int64_t bound = 0;
    std::map<int32_t, int> pages;  // page -> references
  };
  std::vector<Holder> holders(7);
  std::set<int32_t> used;
  int64_t reserved = 0;
  std::mt19937 random(20260102);
  const auto any = [&](const Holder& h) {
    return std::next(h.pages.begin(), random() % h.pages.size())->first;
  };
  for (int i = 0; i < 30000; ++i) {
    Holder& h = holders[random() % holders.size()];
    const uint32_t n = random() % 15;
    switch (random() % 6) {
      case 0:
        if (h.bound == 0) {
          const bool fits = reserved + n <= kPages;
          ASSERT_EQ(pool.Reserve(n, h.reservation), fits);
          if (fits) reserved += h.bound = n;
        }
        break;
      case 1:
      case 2:
        if (static_cast<int64_t>(h.pages.size()) < h.bound) {
          const int32_t page = pool.Take(h.reservation);
          ASSERT_GE(page, 1);
          ASSERT_LE(page, kPages);
          ASSERT_TRUE(used.insert(page).second);
          h.pages[page] = 1;
        }
        break;
      case 3:
        if (!h.pages.empty()) {
          const int32_t page = any(h);
          pool.AddRef(page);
          ++h.pages[page];
        }
        break;
      case 4:
        if (!h.pages.empty()) {
          const int32_t page = any(h);
          pool.Return(page, h.reservation);
          if (--h.pages[page] == 0) {
            h.pages.erase(page);
            used.erase(page);
          }
          ASSERT_EQ(pool.references(page), h.pages.count(page) ? h.pages[page] : 0);
        }
        break;
      case 5:
        if (const int64_t lowest = h.pages.size(); lowest <= h.bound) {
          const int64_t bound = lowest + static_cast<int64_t>(random() % (h.bound - lowest + 1));
          pool.Lower(bound, h.reservation);
          reserved -= h.bound - bound;
          h.bound = bound;
        }
        break;
    }
    ASSERT_EQ(h.reservation.bound, h.bound);
    ASSERT_EQ(h.reservation.held, static_cast<int64_t>(h.pages.size()));
    ASSERT_EQ(pool.used(), static_cast<int64_t>(used.size()));
    ASSERT_EQ(pool.reserved(), reserved);
    pool.CheckInvariants();
  }
}

}  // namespace
}  // namespace winnow
