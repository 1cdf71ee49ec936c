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

TEST(StateOps, AdvanceRingCountsSingleTokensAndClearsAfterPieces) {
  ThreadPool pool(1);
  std::vector<int32_t> counts = {0, 0, 1, 2, 1, 2};  // by slot
  const std::vector<int32_t> offsets = {0, 1, 2, 3, 8, 8, 9}, slots = {1, 2, 3, 4, 5, 0};
  AdvanceRingArgs args;
  args.batch.num_sequences = 6;
  args.batch.row_offsets = offsets.data();
  args.batch.slots = slots.data();
  args.length = 3;
  args.count = {.base = reinterpret_cast<std::byte*>(counts.data()), .slot_stride_bytes = 4};
  AdvanceRing(pool, args);
  // One token each, the third of which fills the ring; a piece; nothing; padding.
  EXPECT_EQ(counts, (std::vector<int32_t>{0, 1, 2, 0, 0, 2}));
}

}  // namespace
}  // namespace winnow::cpu
