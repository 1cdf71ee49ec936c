// What every ragged op knows of a step and of the sequences' state: views in backend memory.
//
// A step computes some tokens of several sequences. The tokens of sequence b are the rows
// row_offsets[b] .. row_offsets[b + 1] - 1 of every activation, at consecutive positions. Single
// generated tokens and prompt pieces are the same thing: sequences with one row and with several. A
// sequence appears at most once in a step.
//
// Slots and pages (model/state_spec.h has the layout): slot 0 and page 0 are scratch, for padding.
#ifndef WINNOW_KERNELS_BATCH_H_
#define WINNOW_KERNELS_BATCH_H_

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace winnow {

// The rows of one step. Pointers are backend memory and live until the step ends.
struct RaggedBatch {
  int64_t num_tokens = 0;                // T
  int64_t num_sequences = 0;             // B
  int64_t max_tokens_per_sequence = 0;   // host copy, for launch geometry
  const uint32_t* tokens = nullptr;      // [T] each < vocab_size or a DrawnToken
  const int64_t* positions = nullptr;    // [T] absolute, consecutive within a sequence
  const int32_t* row_offsets = nullptr;  // [B + 1]
  const int32_t* slots = nullptr;        // [B]
};

// One named field of the fixed slot, for all slots: slot s has it at base + s * slot_stride_bytes.
struct SlotField {
  std::byte* base = nullptr;
  int64_t slot_stride_bytes = 0;

  template <typename T>
  T* at(int64_t slot) const {
    return reinterpret_cast<T*>(base + slot * slot_stride_bytes);
  }
};

// The pages of one layer. A page holds P consecutive places of one kv head: K [P, D], then V [P,
// D]. Two lists of pages per (slot, kv head):
//   ring: the token at position j has place j % ring_tokens (full attention: ring_tokens is larger
//   than any position), kept: place i is kept slot i of this head (window + learned eviction only).
struct LayerPages {
  std::byte* pool = nullptr;  // page p starts at pool + p * page_bytes
  int64_t page_bytes = 0;
  int64_t page_tokens = 0;  // P
  int64_t head_dim = 0;     // D
  int64_t num_kv_heads = 0;
  DType dtype = DType::kF32;

  const int32_t* tables = nullptr;  // page ids; slot s has its entries at tables + s * table_stride
  int64_t table_stride = 0;
  int64_t ring_tokens = 0;
  int64_t ring_first_entry = 0;       // of head 0; head h starts ring_entries_per_head * h later
  int64_t ring_entries_per_head = 0;  // pages at most
  int64_t kept_first_entry = 0;
  int64_t kept_entries_per_head = 0;  // 0: no kept list

  template <typename T>
  T* RingKey(int64_t slot, int64_t head, int64_t place) const {
    return Key<T>(slot, ring_first_entry + head * ring_entries_per_head, place);
  }
  template <typename T>
  T* KeptKey(int64_t slot, int64_t head, int64_t place) const {
    return Key<T>(slot, kept_first_entry + head * kept_entries_per_head, place);
  }
  // Elements from a token's key to its value.
  int64_t value_offset() const { return page_tokens * head_dim; }

 private:
  template <typename T>
  T* Key(int64_t slot, int64_t first_entry, int64_t place) const {
    const int64_t page = tables[slot * table_stride + first_entry + place / page_tokens];
    return reinterpret_cast<T*>(pool + page * page_bytes) + (place % page_tokens) * head_dim;
  }
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_BATCH_H_
