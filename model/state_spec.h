// StateSpec: the layout of one sequence's state, computed from the ModelConfig alone.
//
// A sequence's state is one fixed-size slot plus pages:
//   slot    per layer some named fields (recurrent matrix, convolution histories, router history,
//   kept set); pages   keys and values. A page holds page_tokens consecutive places of one layer
//   and one kv head, K [P, D] then V [P, D].
//           A PageList names the pages of one (layer, kv head): its window ring (or, for full
//           attention, all its tokens), or its kept tokens. Each list has a fixed range of entries
//           in the slot's page table.
// With a state ring (kernels/ops/gated_delta.h, DeltaRing) every Gated DeltaNet layer has its
// entries' fields in the slot, and the first such layer the number of entries, which all share: so
// zeroing or copying a slot does the same to its rings.
//
// THE SCRATCH RULE, which stands here once: slot 0 and page 0 belong to nobody. Padding rows use
// them; table entries without a page hold 0. Pools hand out slots and pages from 1.
//
// Everything here is host-side integers: the scheduler uses it without seeing a tensor.
#ifndef WINNOW_MODEL_STATE_SPEC_H_
#define WINNOW_MODEL_STATE_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "kernels/dtype.h"
#include "model/config.h"

namespace winnow {

inline constexpr int32_t kScratchSlot = 0;
inline constexpr int32_t kScratchPage = 0;

// A named part of the fixed slot.
struct StateField {
  int layer = 0;
  std::string name;  // "state", "q_conv", "ring_keys", "router_history_0", "kept_score", ...
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // bytes from the slot's start; multiple of 64
  int64_t size_bytes() const;
};

enum class PageListKind : uint8_t {
  kRing,  // the last `capacity` tokens
  kKept,  // tokens retained by learned eviction, at most `capacity`; how many is known after each
          // step
  kGrowing,  // every token
};

struct PageList {
  int layer = 0;
  int kv_head = 0;
  PageListKind kind = PageListKind::kRing;
  int64_t capacity = 0;     // tokens; kGrowing: unused
  int64_t span = 0;         // kKept: V, the token at position p departs when p + V is computed
  int64_t first_entry = 0;  // in the slot's page table
  int64_t max_pages = 0;    // entries reserved in the table
  int kept_index = 0;       // kKept: index into the kept counts that a step reports
};

struct StateSpecOptions {
  int64_t page_tokens = 16;         // P >= 1
  DType page_dtype = DType::kF32;   // of keys and values, in a state ring too
  DType state_dtype = DType::kF32;  // of the recurrent matrices: kF32 or kBF16
  // Inputs that are kept beside a recurrent matrix until it is written, 0 .. kMaxDeltaRing; below
  // 2: none, it is written by every step.
  int64_t state_ring = 0;
  // Longest sequence that page tables of growing kinds can hold; required for them, ignored by
  // bounded kinds.
  std::optional<int64_t> max_sequence_tokens = std::nullopt;
};

class StateSpec {
 public:
  // INVALID_ARGUMENT: page_tokens, state_dtype or state_ring out of range, growing kinds without
  // max_sequence_tokens, attention layers of different head dims.
  static absl::StatusOr<StateSpec> Create(const ModelConfig& config,
                                          const StateSpecOptions& options);

  // Slot.
  const std::vector<StateField>& fields() const { return fields_; }
  // REQUIRES: the layer has a field of that name.
  const StateField& field(int layer, std::string_view name) const;
  int64_t slot_bytes() const { return slot_bytes_; }        // fields only, multiple of 256
  int64_t table_entries() const { return table_entries_; }  // int32 page ids per slot
  int64_t slot_total_bytes() const { return slot_bytes_ + table_entries_ * 4; }

  // Entries of the state rings, at least 2; 0: there are none.
  int64_t state_ring() const { return state_ring_; }

  // Pages.
  const std::vector<PageList>& lists() const { return lists_; }
  int64_t page_tokens() const { return page_tokens_; }
  int64_t page_bytes() const { return page_bytes_; }
  DType page_dtype() const { return page_dtype_; }
  int num_kept_lists() const { return num_kept_lists_; }
  // Some layer needs pages for every token.
  bool grows() const { return grows_; }
  std::optional<int64_t> max_sequence_tokens() const { return max_sequence_tokens_; }

  // Pages that `list` needs so that a step can bring the sequence from `before` to `after` computed
  // tokens, when the list's head kept `kept` tokens before it: for kKept, min(capacity, kept +
  // departures of the step).
  int64_t PagesFor(const PageList& list, int64_t before, int64_t after, int64_t kept) const;
  // Pages that a sequence of num_tokens tokens can need at most, over all lists.
  int64_t MaxPages(int64_t num_tokens) const;
  // Of them, those that num_tokens tokens fill for good: pages of growing lists without free
  // places. They are only ever read again, so forked sequences share them.
  int64_t FullPages(const PageList& list, int64_t num_tokens) const;
  int64_t FullPages(int64_t num_tokens) const;
  // The same as MaxPages for any length; none if it grows.
  std::optional<int64_t> MaxPages() const;

  // What keeping every token's keys and values in all attention layers would cost, as a full cache
  // does.
  int64_t kv_bytes_per_token() const { return kv_bytes_per_token_; }

  // A hash of all of the above: states move only between equal ones.
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  StateSpec() = default;

  std::vector<StateField> fields_;
  std::vector<PageList> lists_;
  int64_t slot_bytes_ = 0;
  int64_t table_entries_ = 0;
  int64_t state_ring_ = 0;
  int64_t page_tokens_ = 0;
  int64_t page_bytes_ = 0;
  DType page_dtype_ = DType::kF32;
  int num_kept_lists_ = 0;
  bool grows_ = false;
  std::optional<int64_t> max_sequence_tokens_;
  int64_t kv_bytes_per_token_ = 0;
  uint64_t fingerprint_ = 0;

  friend class StateSpecBuilder;
};

}  // namespace winnow

#endif  // WINNOW_MODEL_STATE_SPEC_H_
