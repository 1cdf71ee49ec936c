#include "kernels/cpu/state_ops.h"

#include <algorithm>
#include <cstdint>

namespace winnow::cpu {

void EditTables(ThreadPool&, const EditTablesArgs& args) {
  for (int64_t i = 0; i < args.num_edits; ++i)
    args.tables[args.edits[i].entry] = args.edits[i].page;
}

void GatherCounts(ThreadPool&, const GatherCountsArgs& args) {
  int32_t* out = args.out;
  for (int64_t b = 0; b < args.batch.num_sequences; ++b) {
    for (const SlotField& field : args.fields) {
      out = std::copy_n(field.at<const int32_t>(args.batch.slots[b]), args.count, out);
    }
  }
}

void AdvanceRing(ThreadPool&, const AdvanceRingArgs& args) {
  const RaggedBatch& batch = args.batch;
  for (int64_t i = 0; i < batch.num_sequences; ++i) {
    const int32_t rows = batch.row_offsets[i + 1] - batch.row_offsets[i];
    if (rows == 0 || batch.slots[i] == 0) continue;
    int32_t& count = *args.count.at<int32_t>(batch.slots[i]);
    count = rows == 1 && count + 1 < args.length ? count + 1 : 0;
  }
}

}  // namespace winnow::cpu
