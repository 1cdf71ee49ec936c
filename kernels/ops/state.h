// Ops on the sequences' state beside the layers' own: page tables before a step, counts after it.
#ifndef WINNOW_KERNELS_OPS_STATE_H_
#define WINNOW_KERNELS_OPS_STATE_H_

#include <cstdint>
#include <vector>

#include "kernels/batch.h"

namespace winnow {

// tables[entry] = page.
struct TableEdit {
  int64_t entry = 0;  // of all slots' tables
  int32_t page = 0;
  int32_t unused = 0;
};

// Edits of page tables. In any order: no two may name one entry.
struct EditTablesArgs {
  int32_t* tables = nullptr;
  const TableEdit* edits = nullptr;  // [num_edits]
  int64_t num_edits = 0;
};

// Fields of the batch's slots side by side: out[b] = [fields[0] of slots[b], fields[1], ...], each
// of `count` numbers.
struct GatherCountsArgs {
  RaggedBatch batch;
  std::vector<SlotField> fields = {};  // [count] int32 each
  int64_t count = 0;
  int32_t* out = nullptr;  // [B, fields, count]
};

}  // namespace winnow

#endif  // WINNOW_KERNELS_OPS_STATE_H_
