#include "kernels/cpu/state_ops.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/thread_pool.h"

namespace winnow::cpu {
namespace {

TEST(StateOps, EditTablesChangesWhatIsNamed) {
  ThreadPool pool(1);
  std::vector<int32_t> tables = {1, 2, 3, 4, 5};
  const std::vector<TableEdit> edits = {{.entry = 3, .page = 9}, {.entry = 0, .page = 7}};
  EditTables(pool, {.tables = tables.data(), .edits = edits.data(), .num_edits = 2});
  EXPECT_EQ(tables, (std::vector<int32_t>{7, 2, 3, 9, 5}));
  EditTables(pool, {.tables = tables.data()});
  EXPECT_EQ(tables, (std::vector<int32_t>{7, 2, 3, 9, 5}));
}

TEST(StateOps, GatherCountsPutsTheFieldsOfASlotSideBySide) {
  ThreadPool pool(1);
  // Slots of 4 numbers: fields of 2 at number 0 and 2.
  std::vector<int32_t> memory = {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23};
  auto* base = reinterpret_cast<std::byte*>(memory.data());
  const std::vector<int32_t> slots = {2, 1};
  std::vector<int32_t> out(8, -1);
  GatherCountsArgs args;
  args.batch.num_sequences = 2;
  args.batch.slots = slots.data();
  args.fields = {{.base = base + 8, .slot_stride_bytes = 16},
                 {.base = base, .slot_stride_bytes = 16}};
  args.count = 2;
  args.out = out.data();
  GatherCounts(pool, args);
  EXPECT_EQ(out, (std::vector<int32_t>{22, 23, 20, 21, 12, 13, 10, 11}));
}

}  // namespace
}  // namespace winnow::cpu
