// StepTables: what a step's ops know of its rows, packed for one upload.
//
//   StepTables tables;
//   tables.Pack(batch, first_logits_rows, 0);         // host memory
//   upload tables.bytes() to `device`
//   RaggedBatch view = tables.View(device);
//
// In this order, each part from a multiple of 16 bytes on: positions [T] int64, tokens [T] uint32,
// row_offsets [B + 1], slots [B] and logits rows int32. Keeps its memory from step to step.
#ifndef WINNOW_MODEL_STEP_TABLES_H_
#define WINNOW_MODEL_STEP_TABLES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/batch.h"
#include "model/step.h"

namespace winnow {

class StepTables {
 public:
  // Bytes of the largest step with that many tokens, sequences and logits rows; a multiple of 4.
  static int64_t MaxBytes(int64_t num_tokens, int64_t num_sequences, int64_t num_logits_rows);

  // `logits_rows`: at most as many as MaxBytes was asked for. `num_padding`: sequences that follow
  // the batch's, of one token 0 at position 0 in the scratch slot.
  void Pack(const StepBatch& batch, absl::Span<const LogitsRow> logits_rows, int64_t num_padding);
  const std::vector<std::byte>& bytes() const { return bytes_; }

  // The packed step's tables at `device`, to which bytes() was copied.
  RaggedBatch View(const std::byte* device) const;
  const int32_t* LogitsRows(const std::byte* device) const;

 private:
  template <typename T>
  int64_t Append(const std::vector<T>& values, T padding, int64_t num_padding);

  std::vector<std::byte> bytes_;
  int64_t num_tokens_ = 0, num_sequences_ = 0;
  int64_t max_tokens_per_sequence_ = 0;
  int64_t tokens_ = 0, row_offsets_ = 0, slots_ = 0, logits_rows_ = 0;  // offsets in bytes
};

}  // namespace winnow

#endif  // WINNOW_MODEL_STEP_TABLES_H_
