// Ragged steps, slots and pages for GPU tests, in any backend's memory.
#ifndef WINNOW_KERNELS_CUDA_TESTING_BATCHES_H_
#define WINNOW_KERNELS_CUDA_TESTING_BATCHES_H_

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/batch.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {

// What one sequence computes in a step.
struct StepPart {
  int32_t slot = 1;
  int64_t position = 0;  // of its first row
  int32_t rows = 1;
};

// A step's tables in a backend's memory.
class TestBatch {
 public:
  TestBatch(Backend& backend, const std::vector<StepPart>& parts)
      : positions_(backend, Positions(parts)),
        row_offsets_(backend, RowOffsets(parts)),
        slots_(backend, Slots(parts)) {
    view_.num_tokens = RowOffsets(parts).back();
    view_.num_sequences = static_cast<int64_t>(parts.size());
    for (const StepPart& part : parts) {
      view_.max_tokens_per_sequence = std::max<int64_t>(view_.max_tokens_per_sequence, part.rows);
    }
    view_.positions = positions_.data();
    view_.row_offsets = row_offsets_.data();
    view_.slots = slots_.data();
  }
  const RaggedBatch& view() const { return view_; }

 private:
  static std::vector<int64_t> Positions(const std::vector<StepPart>& parts) {
    std::vector<int64_t> positions;
    for (const StepPart& part : parts) {
      for (int32_t r = 0; r < part.rows; ++r) positions.push_back(part.position + r);
    }
    return positions;
  }
  static std::vector<int32_t> RowOffsets(const std::vector<StepPart>& parts) {
    std::vector<int32_t> offsets = {0};
    for (const StepPart& part : parts) offsets.push_back(offsets.back() + part.rows);
    return offsets;
  }
  static std::vector<int32_t> Slots(const std::vector<StepPart>& parts) {
    std::vector<int32_t> slots;
    for (const StepPart& part : parts) slots.push_back(part.slot);
    return slots;
  }

  TestArray<int64_t> positions_;
  TestArray<int32_t> row_offsets_, slots_;
  RaggedBatch view_;
};

// Steps that bring `totals.size()` sequences, in slots 1, 2, ..., to their totals: each step a
// random choice of the unfinished ones in random order, with one row or with up to `most`.
inline std::vector<std::vector<StepPart>> RandomSteps(const std::vector<int64_t>& totals,
                                                      int64_t most, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int64_t> done(totals.size(), 0);
  std::vector<std::vector<StepPart>> steps;
  while (done != totals) {
    std::vector<StepPart> parts;
    for (size_t s = 0; s < totals.size(); ++s) {
      const int64_t left = totals[s] - done[s];
      if (left == 0 || random() % 4 == 0) continue;
      const int64_t rows = random() % 3 == 0 ? 1 : 1 + static_cast<int64_t>(random() % most);
      parts.push_back({.slot = static_cast<int32_t>(s + 1),
                       .position = done[s],
                       .rows = static_cast<int32_t>(std::min(left, rows))});
      done[s] += parts.back().rows;
    }
    if (parts.empty()) continue;
    std::shuffle(parts.begin(), parts.end(), random);
    steps.push_back(std::move(parts));
  }
  return steps;
}

// A field of `floats` float32 in each of the slots 0 .. num_slots, with room between the slots.
// Zero, but for slot 0, which holds poison.
class TestField {
 public:
  TestField(Backend& backend, int64_t num_slots, int64_t floats)
      : floats_(floats), stride_(floats + 16), memory_(backend, Initial(num_slots)) {}

  SlotField view() const {
    return {.base = memory_.bytes(),
            .slot_stride_bytes = stride_ * static_cast<int64_t>(sizeof(float))};
  }
  std::vector<float> Read(int64_t slot) const {
    const std::vector<float> all = memory_.Read();
    return {all.begin() + slot * stride_, all.begin() + slot * stride_ + floats_};
  }

 private:
  std::vector<float> Initial(int64_t num_slots) const {
    std::vector<float> values((num_slots + 1) * stride_, 0.0f);
    std::fill_n(values.begin(), stride_, winnow::testing::kPoison);
    return values;
  }

  int64_t floats_, stride_;
  TestArray<float> memory_;
};

struct TestPagesShape {
  int64_t page_tokens = 1, head_dim = 1, num_kv_heads = 1;
  int64_t ring_tokens = 1;
  int64_t ring_capacity = 1;  // places: ring_tokens, or the longest sequence
  int64_t kept_capacity = 0;
};

// Poisoned pages, shuffled; slots 1 .. num_slots have all of theirs.
class TestPages {
 public:
  TestPages(Backend& backend, const TestPagesShape& shape, int64_t num_slots, uint64_t seed)
      : shape_(shape),
        ring_entries_(Entries(shape.ring_capacity)),
        kept_entries_(Entries(shape.kept_capacity)),
        stride_(shape.num_kv_heads * (ring_entries_ + kept_entries_)),
        dtype_(backend.activation_dtype()),
        pool_(backend, dtype_, {num_slots * stride_ + 1, 2 * shape.page_tokens * shape.head_dim}),
        tables_(backend, Shuffled(num_slots, seed)) {}

  LayerPages view() const {
    LayerPages pages;
    pages.pool = static_cast<std::byte*>(pool_.view().raw);
    pages.page_bytes = 2 * shape_.page_tokens * shape_.head_dim * DTypeBytes(dtype_);
    pages.page_tokens = shape_.page_tokens;
    pages.head_dim = shape_.head_dim;
    pages.num_kv_heads = shape_.num_kv_heads;
    pages.dtype = dtype_;
    pages.tables = tables_.data();
    pages.table_stride = stride_;
    pages.ring_tokens = shape_.ring_tokens;
    pages.ring_entries_per_head = ring_entries_;
    pages.kept_first_entry = shape_.num_kv_heads * ring_entries_;
    pages.kept_entries_per_head = kept_entries_;
    return pages;
  }
  // Everything in them, page by page.
  std::vector<float> Read() const { return pool_.Read(); }

 private:
  int64_t Entries(int64_t tokens) const {
    return (tokens + shape_.page_tokens - 1) / shape_.page_tokens;
  }
  std::vector<int32_t> Shuffled(int64_t num_slots, uint64_t seed) const {
    std::vector<int32_t> tables((num_slots + 1) * stride_, 0);
    std::iota(tables.begin() + stride_, tables.end(), 1);
    std::mt19937_64 random(seed);
    std::shuffle(tables.begin() + stride_, tables.end(), random);
    return tables;
  }

  const TestPagesShape shape_;
  const int64_t ring_entries_, kept_entries_, stride_;
  const DType dtype_;
  TestTensor pool_;
  TestArray<int32_t> tables_;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_TESTING_BATCHES_H_
