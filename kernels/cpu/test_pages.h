// TestPages: pages and page tables of one layer for tests, as the scheduler would fill them.
//
// Page ids are shuffled, so that consecutive places are never consecutive pages. Every float is
// poison until something is written, in page 0 and in pages that nobody was given too: a read of
// any of them shows up as NaN in the results.
#ifndef WINNOW_KERNELS_CPU_TEST_PAGES_H_
#define WINNOW_KERNELS_CPU_TEST_PAGES_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/batch.h"
#include "kernels/check.h"
#include "kernels/testing/compare.h"

namespace winnow::cpu {

struct TestPagesShape {
  int64_t page_tokens = 1;   // P
  int64_t head_dim = 1;      // D
  int64_t num_kv_heads = 1;  // Hkv
  int64_t ring_tokens = 1;
  int64_t ring_capacity = 1;  // places that the tables can hold: ring_tokens, or for full attention
                              // the longest sequence
  int64_t kept_capacity = 0;  // K
};

class TestPages {
 public:
  // Slots 0 .. num_slots.
  TestPages(const TestPagesShape& shape, int64_t num_slots, uint64_t seed) : shape_(shape) {
    ring_entries_ = PagesFor(shape.ring_capacity);
    kept_entries_ = PagesFor(shape.kept_capacity);
    const int64_t num_pages = 2 + num_slots * shape.num_kv_heads * (ring_entries_ + kept_entries_);
    free_.resize(num_pages - 1);
    std::iota(free_.begin(), free_.end(), 1);
    std::mt19937_64 rng(seed);
    std::shuffle(free_.begin(), free_.end(), rng);
    memory_.assign(num_pages * PageFloats(), testing::kPoison);
    tables_.assign((num_slots + 1) * TableStride(), 0);
  }

  // Gives the slot pages for its first `tokens` tokens and for kept slots 0 .. kept - 1 of the
  // head.
  void ProvideRing(int64_t slot, int64_t tokens) {
    for (int64_t h = 0; h < shape_.num_kv_heads; ++h) {
      Provide(slot, h * ring_entries_, PagesFor(std::min(tokens, shape_.ring_tokens)));
    }
  }
  void ProvideKept(int64_t slot, int64_t head, int64_t kept) {
    Provide(slot, KeptFirst() + head * kept_entries_,
            PagesFor(std::min(kept, shape_.kept_capacity)));
  }

  LayerPages View() {
    LayerPages pages;
    pages.pool = reinterpret_cast<std::byte*>(memory_.data());
    pages.page_bytes = PageFloats() * static_cast<int64_t>(sizeof(float));
    pages.page_tokens = shape_.page_tokens;
    pages.head_dim = shape_.head_dim;
    pages.num_kv_heads = shape_.num_kv_heads;
    pages.tables = tables_.data();
    pages.table_stride = TableStride();
    pages.ring_tokens = shape_.ring_tokens;
    pages.ring_first_entry = 0;
    pages.ring_entries_per_head = ring_entries_;
    pages.kept_first_entry = KeptFirst();
    pages.kept_entries_per_head = kept_entries_;
    return pages;
  }

  // Page 0 and the pages that nobody was given still hold nothing but poison.
  bool UnusedIntact() const {
    const auto intact = [&](int64_t page) {
      return std::all_of(memory_.begin() + page * PageFloats(),
                         memory_.begin() + (page + 1) * PageFloats(), [](float x) {
                           return std::bit_cast<uint32_t>(x) ==
                                  std::bit_cast<uint32_t>(testing::kPoison);
                         });
    };
    return intact(0) && std::all_of(free_.begin(), free_.end(), intact);
  }

 private:
  int64_t PagesFor(int64_t tokens) const {
    return (tokens + shape_.page_tokens - 1) / shape_.page_tokens;
  }
  int64_t PageFloats() const { return 2 * shape_.page_tokens * shape_.head_dim; }
  int64_t KeptFirst() const { return shape_.num_kv_heads * ring_entries_; }
  int64_t TableStride() const { return shape_.num_kv_heads * (ring_entries_ + kept_entries_); }

  void Provide(int64_t slot, int64_t first_entry, int64_t num_pages) {
    for (int64_t i = 0; i < num_pages; ++i) {
      int32_t& entry = tables_[slot * TableStride() + first_entry + i];
      if (entry != 0) continue;
      WINNOW_CHECK(free_.size() > 1);
      entry = free_.back();
      free_.pop_back();
    }
  }

  TestPagesShape shape_;
  int64_t ring_entries_ = 0;
  int64_t kept_entries_ = 0;
  std::vector<float> memory_;
  std::vector<int32_t> tables_;
  std::vector<int32_t> free_;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_TEST_PAGES_H_
