#include "kernels/cpu/key_source.h"

#include <algorithm>

#include "kernels/check.h"

namespace winnow::cpu {

KeySource::KeySource(const AttentionArgs& args, int64_t sequence, int64_t head)
    : pages_(args.pages), slot_(args.batch.slots[sequence]), head_(head), span_(args.span) {
  const int64_t row = args.batch.row_offsets[sequence];
  num_rows_ = args.batch.row_offsets[sequence + 1] - row;
  if (num_rows_ == 0) return;
  first_position_ = args.batch.positions[row];

  const int64_t head_dim = pages_.head_dim;
  own_key_ = args.k.row<float>(row) + head * head_dim;
  own_key_stride_ = args.k.row_stride;
  own_value_ = args.v.row<float>(row) + head * head_dim;
  own_value_stride_ = args.v.row_stride;

  if (args.plan != nullptr) {
    const int64_t list = sequence * pages_.num_kv_heads + head;
    num_kept_ = args.plan->kept_before[list];
    kept_expiry_ = args.plan->kept_expiry + list * args.buffer_size;
    ring_expiry_ = args.plan->ring_expiry + list * span_;
    chunk_expiry_ = args.plan->chunk_expiry + row * pages_.num_kv_heads + head;
    chunk_expiry_stride_ = pages_.num_kv_heads;
    // The token at p0 - V leaves the window as row 0 is computed, but may be kept.
    ring_begin_ = std::max<int64_t>(0, first_position_ - span_);
  } else {
    ring_begin_ = std::max<int64_t>(0, first_position_ - span_ + 1);
  }
  ring_begin_ = std::max(ring_begin_, first_position_ - pages_.ring_tokens);
  num_ring_ = first_position_ - ring_begin_;
}

int32_t KeySource::EndRow(int64_t expiry) const {
  return static_cast<int32_t>(std::min(num_rows_, std::max<int64_t>(0, expiry - first_position_)));
}

int32_t KeySource::EndRowAfterSpan(int64_t row) const {
  if (span_ >= num_rows_ - row)
    return static_cast<int32_t>(num_rows_);  // also where row + V would overflow
  return static_cast<int32_t>(std::max<int64_t>(0, row + span_));
}

int64_t KeySource::Collect(int64_t first, int64_t last, int capacity, KeyRef* refs,
                           int* count) const {
  const int64_t ring = num_kept_;
  const int64_t own = num_kept_ + num_ring_;
  int64_t index = first;
  if (index < ring) index = CollectKept(index, std::min(last, ring), capacity, refs, count);
  if (index >= ring && index < std::min(last, own) && *count < capacity) {
    index = ring + CollectRing(index - ring, std::min(last, own) - ring, capacity, refs, count);
  }
  if (index >= own && index < last && *count < capacity) {
    index = own + CollectOwn(index - own, last - own, capacity, refs, count);
  }
  return index;
}

int64_t KeySource::CollectKept(int64_t first, int64_t last, int capacity, KeyRef* refs,
                               int* count) const {
  const float* key = nullptr;
  int64_t in_page = first % pages_.page_tokens;
  int64_t index = first;
  for (; index < last && *count < capacity; ++index) {
    key = key == nullptr || in_page == 0 ? pages_.KeptKey<const float>(slot_, head_, index)
                                         : key + pages_.head_dim;
    const int32_t end = EndRow(kept_expiry_[index]);
    if (end > 0) refs[(*count)++] = {key, key + pages_.value_offset(), 0, end};
    if (++in_page == pages_.page_tokens) in_page = 0;
  }
  return index;
}

int64_t KeySource::CollectRing(int64_t first, int64_t last, int capacity, KeyRef* refs,
                               int* count) const {
  const int64_t page_tokens = pages_.page_tokens;
  const float* key = nullptr;
  int64_t place = (ring_begin_ + first) % pages_.ring_tokens;
  int64_t in_page = place % page_tokens;
  int64_t expiry_index = ring_expiry_ == nullptr ? 0 : (ring_begin_ + first) % span_;
  int64_t index = first;
  for (; index < last && *count < capacity; ++index) {
    key = key == nullptr || in_page == 0 ? pages_.RingKey<const float>(slot_, head_, place)
                                         : key + pages_.head_dim;
    const int32_t end = ring_expiry_ == nullptr ? EndRowAfterSpan(index - num_ring_)
                                                : EndRow(ring_expiry_[expiry_index]);
    if (end > 0) refs[(*count)++] = {key, key + pages_.value_offset(), 0, end};
    if (++in_page == page_tokens) in_page = 0;
    if (++place == pages_.ring_tokens) place = in_page = 0;
    if (++expiry_index == span_) expiry_index = 0;
  }
  return index;
}

int64_t KeySource::CollectOwn(int64_t first, int64_t last, int capacity, KeyRef* refs,
                              int* count) const {
  int64_t row = first;
  for (; row < last && *count < capacity; ++row) {
    const int32_t end = chunk_expiry_ == nullptr
                            ? EndRowAfterSpan(row)
                            : EndRow(chunk_expiry_[row * chunk_expiry_stride_]);
    // A token sees itself, so every own key has a row that sees it.
    refs[(*count)++] = {own_key_ + row * own_key_stride_, own_value_ + row * own_value_stride_,
                        static_cast<int32_t>(row), end};
  }
  return row;
}

}  // namespace winnow::cpu
