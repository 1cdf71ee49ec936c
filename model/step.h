// StepBatch and StepResult: one step as flat arrays, the whole conversation between scheduler and
// model.
//
// Host memory, plain data; a LogitsRow's context refers to the request's own memory and is good
// until Launch returns. A sequence appears at most once in a batch, with one token or with one
// prompt piece.
#ifndef WINNOW_MODEL_STEP_H_
#define WINNOW_MODEL_STEP_H_

#include <cstdint>
#include <vector>

#include "kernels/ops/sample.h"

namespace winnow {

// Entry `entry` of slot `slot`'s page table becomes `page` (kScratchPage: none).
struct PageTableEdit {
  int32_t slot = 0;
  int64_t entry = 0;
  int32_t page = 0;
};

// The state of slot `from`, fields and page table, goes into slot `to` as well.
struct SlotCopy {
  int32_t from = 0;
  int32_t to = 0;
};

// The keys and values of page `from` go into page `to` as well.
struct PageCopy {
  int32_t from = 0;
  int32_t to = 0;
};

struct StepBatch {
  // [T] ids, or DrawnToken(slot) of the sequence's own slot (kernels/drawn_token.h): the token that
  // the step before, still in flight, draws for it.
  std::vector<uint32_t> tokens;
  std::vector<int64_t> positions;    // [T] absolute, consecutive within a sequence
  std::vector<int32_t> row_offsets;  // [B + 1]
  std::vector<int32_t> slots;        // [B]

  // Forks, before anything else: what a slot or page of `from` holds is what the last step left
  // there, even if it belongs to another sequence by now. No slot or page is both copied from and
  // copied to, and none is copied to twice.
  std::vector<SlotCopy> slot_copies;
  std::vector<PageCopy> page_copies;
  std::vector<int32_t> zero_slots;        // slots that begin a sequence: zeroed next
  std::vector<PageTableEdit> page_edits;  // applied next, in order

  // Rows whose logits are needed, in row order; possibly several for one row (one per choice where
  // a prompt ends).
  // A row that draws has its sequence's slot, unless nobody goes on from the token before the step
  // is committed.
  std::vector<LogitsRow> logits_rows;

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(slots.size()); }
  bool empty() const { return tokens.empty(); }
};

struct StepResult {
  std::vector<RowResult> rows;       // parallel to StepBatch::logits_rows
  std::vector<int32_t> kept_counts;  // [B, StateSpec::num_kept_lists()] after the step
};

}  // namespace winnow

#endif  // WINNOW_MODEL_STEP_H_
