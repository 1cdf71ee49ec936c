#include "scheduler/sequence_pages.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/testing/specs.h"

namespace winnow {
namespace {

// A page table as the device would have it.
using Table = std::vector<int32_t>;

void Apply(const std::vector<PageTableEdit>& edits, int32_t slot, Table* table) {
  for (const PageTableEdit& edit : edits) {
    ASSERT_EQ(edit.slot, slot);
    ASSERT_LT(static_cast<size_t>(edit.entry), table->size());
    (*table)[edit.entry] = edit.page;
  }
}

TEST(SequencePagesTest, RingGrowsToItsWindowAndThenStays) {
  const StateSpec spec = MakeTestSpec({.window = 10}, /*page_tokens=*/4);
  PagePool pool(100);
  SequencePages pages;
  Reservation promise;
  ASSERT_TRUE(pool.Reserve(spec.MaxPages(50), promise));
  EXPECT_EQ(pool.reserved(), 6);  // 2 heads, ceil(10 / 4) each
  std::vector<PageTableEdit> edits;
  pages.Provide(spec, pool, promise, 1, 0, 5, {}, &edits);
  EXPECT_EQ(edits.size(), 4u);
  EXPECT_EQ(pool.used(), 4);
  edits.clear();
  pages.Provide(spec, pool, promise, 1, 5, 8, {}, &edits);
  EXPECT_TRUE(edits.empty());
  pages.Provide(spec, pool, promise, 1, 8, 9, {}, &edits);
  EXPECT_EQ(edits.size(), 2u);
  edits.clear();
  pages.Provide(spec, pool, promise, 1, 9, 49, {}, &edits);
  EXPECT_TRUE(edits.empty());
  pages.ReturnUnused(spec, pool, promise, 49, 49, {});
  EXPECT_EQ(pool.used(), 6);
  pages.ReturnAll(pool, promise);
  EXPECT_EQ(pool.used(), 0);
  EXPECT_EQ(promise.held, 0);
}

TEST(SequencePagesTest, KeptListTakesTheWorstCaseAndReturnsTheRest) {
  // Span 5 (window 4), buffer 8, pages of 2: ring 3 pages and kept 4 pages per head at most.
  const StateSpec spec = MakeTestSpec({.window = 0, .buffer = 8}, /*page_tokens=*/2);
  const PageList* kept_list = nullptr;
  for (const PageList& list : spec.lists()) {
    if (list.kind == PageListKind::kKept) kept_list = &list;
  }
  ASSERT_NE(kept_list, nullptr);
  const int64_t span = kept_list->span;
  PagePool pool(100);
  SequencePages pages;
  Reservation promise;
  ASSERT_TRUE(pool.Reserve(*spec.MaxPages(), promise));
  std::vector<PageTableEdit> edits;
  Table table(spec.table_entries(), kScratchPage);
  // 20 departures: room for the whole buffer.
  pages.Provide(spec, pool, promise, 3, 0, span + 20, {}, &edits);
  Apply(edits, 3, &table);
  const size_t l = kept_list - spec.lists().data();
  EXPECT_EQ(pages.list(l).size(), 4u);
  // 3 were kept: two pages stay.
  std::vector<int32_t> kept(spec.num_kept_lists(), 3);
  pages.ReturnUnused(spec, pool, promise, span + 20, span + 20, kept);
  EXPECT_EQ(pages.list(l).size(), 2u);
  EXPECT_NE(table[kept_list->first_entry + 2], kScratchPage) << "stale until the next step's edits";
  // One more departure fits into the second page; entries 2 and 3 are cleared.
  edits.clear();
  pages.Provide(spec, pool, promise, 3, span + 20, span + 21, kept, &edits);
  Apply(edits, 3, &table);
  EXPECT_EQ(table[kept_list->first_entry + 1], pages.list(l)[1]);
  EXPECT_EQ(table[kept_list->first_entry + 2], kScratchPage);
  EXPECT_EQ(table[kept_list->first_entry + 3], kScratchPage);
  edits.clear();
  pages.Provide(spec, pool, promise, 3, span + 20, span + 21, kept, &edits);
  EXPECT_TRUE(edits.empty()) << "cleared once";
  pages.ReturnAll(pool, promise);
}

// A step in flight keeps what it may need, from what the step before it kept in truth.
TEST(SequencePagesTest, ReturnLeavesTheStepInFlightItsWorstCase) {
  const StateSpec spec = MakeTestSpec({.window = 0, .buffer = 8}, /*page_tokens=*/2);
  const auto kept_list =
      std::find_if(spec.lists().begin(), spec.lists().end(),
                   [](const PageList& list) { return list.kind == PageListKind::kKept; });
  ASSERT_NE(kept_list, spec.lists().end());
  const size_t l = kept_list - spec.lists().begin();
  const int64_t span = kept_list->span;
  PagePool pool(100);
  SequencePages pages;
  Reservation promise;
  ASSERT_TRUE(pool.Reserve(*spec.MaxPages(), promise));
  std::vector<PageTableEdit> edits;
  pages.Provide(spec, pool, promise, 1, 0, span + 3, {}, &edits);
  EXPECT_EQ(pages.list(l).size(), 2u);
  pages.Provide(spec, pool, promise, 1, 0, span + 3 + 4, {}, &edits);  // 7 departures, both steps
  EXPECT_EQ(pages.list(l).size(), 4u);
  // The first step kept 1 of 3; the second may add 4.
  const std::vector<int32_t> kept(spec.num_kept_lists(), 1);
  pages.ReturnUnused(spec, pool, promise, span + 3, span + 3 + 4, kept);
  EXPECT_EQ(pages.list(l).size(), 3u);
  pages.ReturnUnused(spec, pool, promise, span + 3 + 4, span + 3 + 4, kept);
  EXPECT_EQ(pages.list(l).size(), 1u);
  edits.clear();
  pages.Provide(spec, pool, promise, 1, span + 7, span + 7, kept, &edits);
  int cleared = 0;
  for (const PageTableEdit& edit : edits) {
    EXPECT_EQ(edit.page, kScratchPage);
    cleared += kept_list->first_entry <= edit.entry &&
               edit.entry < kept_list->first_entry + kept_list->max_pages;
  }
  EXPECT_EQ(cleared, 3) << "all that the table still names";
  pages.ReturnAll(pool, promise);
}

TEST(SequencePagesTest, ForkSharesFullPagesAndCopiesTheRest) {
  const StateSpec spec = MakeTestSpec({.window = 6, .buffer = 9, .full = true}, /*page_tokens=*/4);
  PagePool pool(200);
  Reservation promise;
  ASSERT_TRUE(pool.Reserve(200, promise));
  SequencePages parent, child;
  std::vector<PageTableEdit> edits;
  const std::vector<int32_t> kept(spec.num_kept_lists(), 5);
  parent.Provide(spec, pool, promise, 1, 0, 30, {}, &edits);
  parent.ReturnUnused(spec, pool, promise, 30, 30, kept);
  Table table(spec.table_entries(), kScratchPage);
  Apply(edits, 1, &table);  // stale entries included, as on the device

  std::vector<PageCopy> copies;
  edits.clear();
  child.Fork(spec, pool, promise, parent, 30, 2, &copies, &edits);
  Apply(edits, 2, &table);
  edits.clear();
  child.Provide(spec, pool, promise, 2, 30, 31, kept, &edits);
  Apply(edits, 2, &table);
  std::map<int32_t, int32_t> copied;
  for (const PageCopy& copy : copies) copied[copy.to] = copy.from;
  for (size_t l = 0; l < spec.lists().size(); ++l) {
    const PageList& list = spec.lists()[l];
    for (int64_t i = 0; i < list.max_pages; ++i) {
      const int32_t page = table[list.first_entry + i];
      const bool held = i < static_cast<int64_t>(child.list(l).size());
      ASSERT_EQ(page, held ? child.list(l)[i] : kScratchPage);
      if (i >= static_cast<int64_t>(parent.list(l).size())) continue;
      const bool shared = list.kind == PageListKind::kGrowing && i < 30 / 4;
      ASSERT_EQ(pool.references(parent.list(l)[i]), shared ? 2 : 1);
      ASSERT_EQ(shared ? page : copied.at(page), parent.list(l)[i]);
    }
  }
  parent.ReturnAll(pool, promise);
  EXPECT_GT(pool.used(), 0);
  child.ReturnAll(pool, promise);
  EXPECT_EQ(pool.used(), 0);
  pool.CheckInvariants();
}

// Many sequences in one tight pool: after each step's edits a device's table names exactly the
// pages that the sequence holds, and no page is named by two.
TEST(SequencePagesTest, TablesNeverNameAPageOfSomebodyElse) {
  const StateSpec spec = MakeTestSpec({.window = 6, .buffer = 9, .full = true}, 3);
  constexpr int64_t kLongest = 60;
  constexpr int32_t kSequences = 5;
  PagePool pool(kSequences * spec.MaxPages(kLongest));
  struct Sequence {
    Reservation promise;
    SequencePages pages;
    int64_t computed = 0;
    std::vector<int32_t> kept;
    Table table;
  };
  std::vector<Sequence> sequences(kSequences);
  const auto begin = [&](Sequence& s) {
    s.computed = 0;
    s.kept.assign(spec.num_kept_lists(), 0);
    s.table.assign(spec.table_entries(), kScratchPage);
    ASSERT_TRUE(pool.Reserve(spec.MaxPages(kLongest), s.promise));
  };
  for (Sequence& s : sequences) begin(s);
  std::mt19937 random(20260104);
  for (int step = 0; step < 10000; ++step) {
    const int32_t slot = 1 + random() % kSequences;
    Sequence& s = sequences[slot - 1];
    const int64_t after = std::min<int64_t>(kLongest, s.computed + 1 + random() % 12);
    if (after == s.computed || random() % 20 == 0) {
      s.pages.ReturnAll(pool, s.promise);
      pool.Lower(0, s.promise);
      begin(s);
      continue;
    }
    std::vector<PageTableEdit> edits;
    s.pages.Provide(spec, pool, s.promise, slot, s.computed, after, s.kept, &edits);
    Apply(edits, slot, &s.table);
    std::set<int32_t> own;
    for (size_t l = 0; l < spec.lists().size(); ++l) {
      const PageList& list = spec.lists()[l];
      for (int64_t i = 0; i < list.max_pages; ++i) {
        const bool held = i < static_cast<int64_t>(s.pages.list(l).size());
        const int32_t page = s.table[list.first_entry + i];
        ASSERT_EQ(page, held ? s.pages.list(l)[i] : kScratchPage);
        ASSERT_TRUE(!held || own.insert(page).second) << "page " << page << " twice";
      }
    }
    for (const Sequence& other : sequences) {
      if (&other == &s) continue;
      for (size_t l = 0; l < spec.lists().size(); ++l) {
        for (const int32_t page : other.pages.list(l)) ASSERT_EQ(own.count(page), 0u);
      }
    }
    s.computed = after;
    for (const PageList& list : spec.lists()) {
      if (list.kind != PageListKind::kKept) continue;
      const int64_t most = std::min(list.capacity, std::max<int64_t>(0, s.computed - list.span));
      s.kept[list.kept_index] = static_cast<int32_t>(random() % (most + 1));
    }
    s.pages.ReturnUnused(spec, pool, s.promise, s.computed, s.computed, s.kept);
    pool.CheckInvariants();
    ASSERT_LE(s.promise.held, s.promise.bound);
  }
  for (Sequence& s : sequences) {
    s.pages.ReturnAll(pool, s.promise);
    pool.Lower(0, s.promise);
  }
  EXPECT_EQ(pool.used(), 0);
  EXPECT_EQ(pool.reserved(), 0);
}

}  // namespace
}  // namespace winnow
