#include "model/step_tables.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace winnow {
namespace {

StepBatch Batch(const std::vector<int32_t>& rows_each) {
  StepBatch batch;
  batch.row_offsets.push_back(0);
  for (size_t b = 0; b < rows_each.size(); ++b) {
    for (int32_t i = 0; i < rows_each[b]; ++i) {
      batch.tokens.push_back(static_cast<uint32_t>(batch.tokens.size() * 3));
      batch.positions.push_back(int64_t{1} << 40 | static_cast<int64_t>(batch.positions.size()));
    }
    batch.row_offsets.push_back(static_cast<int32_t>(batch.tokens.size()));
    batch.slots.push_back(static_cast<int32_t>(b + 7));
  }
  batch.logits_rows.resize(rows_each.size());
  for (size_t b = 0; b < rows_each.size(); ++b)
    batch.logits_rows[b].row = batch.row_offsets[b + 1] - 1;
  return batch;
}

TEST(StepTables, ViewHasWhatWasPacked) {
  StepTables tables;
  // Packed twice: what a larger step left must not show.
  for (const std::vector<int32_t>& rows : {std::vector<int32_t>{5, 1, 9}, {1}, {2, 1, 1, 3}}) {
    const StepBatch batch = Batch(rows);
    tables.Pack(batch, batch.logits_rows, 0);
    const std::vector<std::byte> device = tables.bytes();
    EXPECT_EQ(static_cast<int64_t>(device.size()),
              StepTables::MaxBytes(batch.num_tokens(), batch.num_sequences(),
                                   static_cast<int64_t>(batch.logits_rows.size())));
    const RaggedBatch view = tables.View(device.data());
    ASSERT_EQ(view.num_tokens, batch.num_tokens());
    ASSERT_EQ(view.num_sequences, batch.num_sequences());
    EXPECT_EQ(view.max_tokens_per_sequence, *std::max_element(rows.begin(), rows.end()));
    for (int64_t t = 0; t < view.num_tokens; ++t) {
      EXPECT_EQ(view.tokens[t], batch.tokens[t]);
      EXPECT_EQ(view.positions[t], batch.positions[t]);
    }
    for (int64_t b = 0; b < view.num_sequences; ++b) {
      EXPECT_EQ(view.row_offsets[b], batch.row_offsets[b]);
      EXPECT_EQ(view.slots[b], batch.slots[b]);
      EXPECT_EQ(tables.LogitsRows(device.data())[b], batch.logits_rows[b].row);
    }
    EXPECT_EQ(view.row_offsets[view.num_sequences], batch.row_offsets.back());
  }
}

TEST(StepTables, PaddingIsSingleTokensOfTheScratchSlot) {
  StepTables tables;
  const StepBatch batch = Batch({1, 1, 1});
  tables.Pack(batch, batch.logits_rows, 2);
  EXPECT_EQ(static_cast<int64_t>(tables.bytes().size()), StepTables::MaxBytes(5, 5, 3));
  const std::vector<std::byte> device = tables.bytes();
  const RaggedBatch view = tables.View(device.data());
  EXPECT_EQ(view.num_tokens, 5);
  EXPECT_EQ(view.num_sequences, 5);
  EXPECT_EQ(view.max_tokens_per_sequence, 1);
  for (int64_t b = 0; b < 5; ++b) {
    EXPECT_EQ(view.row_offsets[b + 1], b + 1);
    EXPECT_EQ(view.slots[b], b < 3 ? batch.slots[b] : 0);
    EXPECT_EQ(view.positions[b], b < 3 ? batch.positions[b] : 0);
    EXPECT_EQ(view.tokens[b], b < 3 ? batch.tokens[b] : 0u);
  }
  EXPECT_EQ(tables.LogitsRows(device.data())[2], 2);
}

TEST(StepTables, PartsAreAligned) {
  StepTables tables;
  const StepBatch batch = Batch({1, 2});
  tables.Pack(batch, {}, 0);
  alignas(16) const std::byte device[256] = {};
  const RaggedBatch view = tables.View(device);
  for (const void* part :
       {static_cast<const void*>(view.positions), static_cast<const void*>(view.tokens),
        static_cast<const void*>(view.row_offsets), static_cast<const void*>(view.slots)}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(part) % 16, 0u);
  }
}

}  // namespace
}  // namespace winnow
