// KeySource: the keys that one sequence's queries may see in one kv head, from their three places,
// in one order.
//
// The order is: kept slots by index, ring tokens by position, the step's own tokens by position. It
// depends on the sequence alone. Positions become rows of the step (row 0 is the step's first token
// of the sequence), so that a kernel compares small integers: row r sees a key <=> begin <= r <
// end.
//
// A cheap value; it reads the views of AttentionArgs, which must outlive it.
#ifndef WINNOW_KERNELS_CPU_KEY_SOURCE_H_
#define WINNOW_KERNELS_CPU_KEY_SOURCE_H_

#include <cstdint>

#include "kernels/ops/attention.h"

namespace winnow::cpu {

struct KeyRef {
  const float* key = nullptr;    // [D]
  const float* value = nullptr;  // [D]
  int32_t begin = 0;
  int32_t end = 0;
};

class KeySource {
 public:
  // The keys of sequence `sequence` of the step in kv head `head`.
  KeySource(const AttentionArgs& args, int64_t sequence, int64_t head);

  // Keys in all places, visible or not: the index space of Collect.
  int64_t size() const { return num_kept_ + num_ring_ + num_rows_; }

  // Appends to refs[0 .. *count) the keys with index from `first` on that some row sees, until
  // there are `capacity` of them or index `last` is reached. Returns the index to go on from.
  int64_t Collect(int64_t first, int64_t last, int capacity, KeyRef* refs, int* count) const;

 private:
  // Row from which a key is no longer seen, at most num_rows_.
  int32_t EndRow(int64_t expiry) const;
  // The same for a key at `row` (negative: before the step) that expires `span` rows later.
  int32_t EndRowAfterSpan(int64_t row) const;

  int64_t CollectKept(int64_t first, int64_t last, int capacity, KeyRef* refs, int* count) const;
  int64_t CollectRing(int64_t first, int64_t last, int capacity, KeyRef* refs, int* count) const;
  int64_t CollectOwn(int64_t first, int64_t last, int capacity, KeyRef* refs, int* count) const;

  const LayerPages& pages_;
  int64_t slot_ = 0;
  int64_t head_ = 0;
  int64_t span_ = 0;            // V
  int64_t first_position_ = 0;  // p0
  int64_t num_rows_ = 0;        // C
  int64_t num_kept_ = 0;
  int64_t ring_begin_ = 0;  // position of the oldest ring token that can be visible
  int64_t num_ring_ = 0;    // positions ring_begin_ .. p0 - 1

  const int64_t* kept_expiry_ = nullptr;   // [K]
  const int64_t* ring_expiry_ = nullptr;   // [V], index position % V; null: j + span
  const int64_t* chunk_expiry_ = nullptr;  // [C], stride chunk_expiry_stride_; null: j + span
  int64_t chunk_expiry_stride_ = 0;
  const float* own_key_ = nullptr;  // [C, D] of this head, row stride own_key_stride_
  int64_t own_key_stride_ = 0;
  const float* own_value_ = nullptr;
  int64_t own_value_stride_ = 0;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_KEY_SOURCE_H_
