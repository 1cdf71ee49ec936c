// The keys that queries of one sequence and kv head may see, as a list: kept slots, ring tokens by
// position, the step's own rows. Device code.
#ifndef WINNOW_KERNELS_CUDA_ATTENTION_KEYS_CUH_
#define WINNOW_KERNELS_CUDA_ATTENTION_KEYS_CUH_

#include <climits>
#include <cstdint>

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/pages.cuh"

namespace winnow::cuda {

// A key's place, its loads perhaps still on the way. `end`: its expiry.
struct KeyLookup {
  PagePlace place = {};  // own rows: page -1, the row
  int64_t end = 0;       // 0: no such key, or one that none of the queries sees
  int32_t start = INT_MIN;
};

// Times are rows: positions less the sequence's first one in the step.
template <typename T>
struct KeyRef {
  const T* key = nullptr;  // null: none
  const T* value = nullptr;
  int32_t start = INT_MAX;  // seen by rows start <= row < end
  int32_t end = INT_MIN;
};

template <typename T>
class KeyList {
 public:
  // For queries in rows row_begin .. row_end - 1 of the sequence, whose rows begin at first_row of
  // the step.
  __device__ KeyList(const AttentionParams& p, int sequence, int head, int64_t first_row,
                     int row_begin, int row_end)
      : p_(p),
        head_(head),
        pages_(p.pages, p.batch.slots[sequence], head),
        first_row_(first_row),
        first_position_(p.batch.positions[first_row]),
        ring_tokens_(static_cast<uint32_t>(min(p.pages.ring_tokens, int64_t{INT_MAX}))) {
    const int64_t list = int64_t{sequence} * p.pages.num_kv_heads + head;
    // With a plan, tokens older than the window may be kept; without one they are gone.
    int64_t oldest = first_position_ - min(p.span, p.pages.ring_tokens);
    if (p.has_plan) {
      num_kept_ = p.plan.kept_before[list];
      kept_expiry_ = p.plan.kept_expiry + list * p.buffer_size;
      ring_expiry_ = p.plan.ring_expiry + list * p.span;
    } else {
      const int64_t in_window = first_position_ + row_begin - (p.span - 1);
      own_begin_ = static_cast<int32_t>(max(int64_t{0}, in_window - first_position_));
      oldest = max(first_position_ - p.pages.ring_tokens, in_window);
    }
    ring_begin_ = max(int64_t{0}, oldest);
    num_ring_ = static_cast<int32_t>(max(int64_t{0}, first_position_ - ring_begin_));
    ring_place_ = static_cast<uint32_t>(ring_begin_ % p.pages.ring_tokens);
    if (p.has_plan) ring_expiry_place_ = static_cast<uint32_t>(ring_begin_ % p.span);
    size_ = num_kept_ + num_ring_ + max(0, row_end - own_begin_);
  }

  __device__ int size() const { return size_; }

  __device__ KeyLookup Find(int index) const {
    if (index >= size_) return {};
    if (index < num_kept_) {
      return {pages_.Kept(static_cast<uint32_t>(index)), kept_expiry_[index], INT_MIN};
    }
    index -= num_kept_;
    return index < num_ring_ ? FindInRing(index) : FindOwn(index - num_ring_ + own_begin_);
  }

  __device__ KeyRef<T> Resolve(const KeyLookup& found) const {
    KeyRef<T> ref;
    if (found.end == 0) return ref;
    ref.start = found.start;
    ref.end = static_cast<int32_t>(
        max(int64_t{INT_MIN}, min(int64_t{INT_MAX}, found.end - first_position_)));
    if (found.place.page >= 0) {
      ref.key = pages_.Key(found.place);
      ref.value = ref.key + pages_.value_offset();
    } else {
      const int64_t row = first_row_ + found.place.place, offset = head_ * p_.pages.head_dim;
      ref.key = static_cast<const T*>(p_.k) + row * p_.k_stride + offset;
      ref.value = static_cast<const T*>(p_.v) + row * p_.v_stride + offset;
    }
    return ref;
  }

 private:
  __device__ KeyLookup FindInRing(int index) const {
    uint32_t place = ring_place_ + index;
    if (place >= ring_tokens_) place -= ring_tokens_;
    if (!p_.has_plan) return {pages_.Ring(place), EndInWindow(ring_begin_ + index), INT_MIN};
    int64_t expiry_place = int64_t{ring_expiry_place_} + index;
    if (expiry_place >= p_.span) expiry_place -= p_.span;
    return {pages_.Ring(place), ring_expiry_[expiry_place], INT_MIN};
  }
  __device__ KeyLookup FindOwn(int row) const {
    const int64_t end =
        p_.has_plan ? p_.plan.chunk_expiry[(first_row_ + row) * p_.pages.num_kv_heads + head_]
                    : EndInWindow(first_position_ + row);
    return {{-1, row}, end, row};
  }
  __device__ int64_t EndInWindow(int64_t position) const {
    return p_.span >= kNeverExpires - position ? kNeverExpires : position + p_.span;
  }

  const AttentionParams& p_;
  const int head_;
  const HeadPages<const T> pages_;
  const int64_t first_row_, first_position_;
  const uint32_t ring_tokens_;
  int32_t num_kept_ = 0, num_ring_ = 0, own_begin_ = 0, size_ = 0;
  int64_t ring_begin_ = 0;
  uint32_t ring_place_ = 0, ring_expiry_place_ = 0;
  const int64_t* kept_expiry_ = nullptr;
  const int64_t* ring_expiry_ = nullptr;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ATTENTION_KEYS_CUH_
