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

}  // namespace winnow::cpu
