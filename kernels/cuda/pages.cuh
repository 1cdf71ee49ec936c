// Places of keys and values on the device: what LayerPages (kernels/batch.h) does on the host.
// Device code.
#ifndef WINNOW_KERNELS_CUDA_PAGES_CUH_
#define WINNOW_KERNELS_CUDA_PAGES_CUH_

#include <cstdint>

#include "kernels/batch.h"

namespace winnow::cuda {

// Page and place within it of one list's place.
struct PagePlace {
  int32_t page;
  int32_t place;
};

// One sequence's pages in one kv head. `place` is below 2^31: a list has no more places.
template <typename T>
class HeadPages {
 public:
  __device__ HeadPages(const LayerPages& pages, int64_t slot, int64_t head)
      : pages_(pages),
        ring_(pages.tables + slot * pages.table_stride + pages.ring_first_entry +
              head * pages.ring_entries_per_head),
        kept_(pages.tables + slot * pages.table_stride + pages.kept_first_entry +
              head * pages.kept_entries_per_head),
        page_tokens_(static_cast<uint32_t>(pages.page_tokens)) {}

  __device__ PagePlace Ring(uint32_t place) const { return Find(ring_, place); }
  __device__ PagePlace Kept(uint32_t place) const { return Find(kept_, place); }
  // [D]; its value lies pages.value_offset() elements further.
  __device__ T* Key(PagePlace p) const {
    return reinterpret_cast<T*>(pages_.pool + p.page * pages_.page_bytes) +
           p.place * pages_.head_dim;
  }
  __device__ int64_t value_offset() const { return pages_.page_tokens * pages_.head_dim; }

 private:
  __device__ PagePlace Find(const int32_t* table, uint32_t place) const {
    return {table[place / page_tokens_], static_cast<int32_t>(place % page_tokens_)};
  }

  const LayerPages& pages_;
  const int32_t* ring_;
  const int32_t* kept_;
  uint32_t page_tokens_;
};

template <typename T>
__device__ T* FieldAt(const SlotField& field, int64_t slot) {
  return reinterpret_cast<T*>(field.base + slot * field.slot_stride_bytes);
}

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_PAGES_CUH_
