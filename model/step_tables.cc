#include "model/step_tables.h"

#include <algorithm>
#include <vector>

#include "model/state_spec.h"

namespace winnow {
namespace {

constexpr int64_t kAlignment = 16;

// Bytes of an array and what follows it up to the next one.
template <typename T>
int64_t PartBytes(int64_t count) {
  return (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

int64_t StepTables::MaxBytes(int64_t num_tokens, int64_t num_sequences, int64_t num_logits_rows) {
  return PartBytes<int64_t>(num_tokens) + PartBytes<uint32_t>(num_tokens) +
         PartBytes<int32_t>(num_sequences + 1) + PartBytes<int32_t>(num_sequences) +
         PartBytes<int32_t>(num_logits_rows);
}

// Appends the values and `num_padding` more; returns where they begin.
template <typename T>
int64_t StepTables::Append(const std::vector<T>& values, T padding, int64_t num_padding) {
  const int64_t offset = static_cast<int64_t>(bytes_.size());
  const int64_t count = static_cast<int64_t>(values.size());
  bytes_.resize(offset + PartBytes<T>(count + num_padding));
  T* to = reinterpret_cast<T*>(bytes_.data() + offset);
  std::copy(values.begin(), values.end(), to);
  std::fill_n(to + count, num_padding, padding);
  return offset;
}

void StepTables::Pack(const StepBatch& batch, absl::Span<const LogitsRow> logits_rows,
                      int64_t num_padding) {
  num_tokens_ = batch.num_tokens() + num_padding;
  num_sequences_ = batch.num_sequences() + num_padding;
  max_tokens_per_sequence_ = 0;
  for (int64_t b = 0; b < batch.num_sequences(); ++b) {
    max_tokens_per_sequence_ = std::max<int64_t>(max_tokens_per_sequence_,
                                                 batch.row_offsets[b + 1] - batch.row_offsets[b]);
  }
  bytes_.clear();
  Append<int64_t>(batch.positions, 0, num_padding);
  tokens_ = Append<uint32_t>(batch.tokens, 0, num_padding);
  std::vector<int32_t> numbers = batch.row_offsets;
  for (int64_t i = 0; i < num_padding; ++i) numbers.push_back(numbers.back() + 1);
  row_offsets_ = Append<int32_t>(numbers, 0, 0);
  slots_ = Append<int32_t>(batch.slots, kScratchSlot, num_padding);
  numbers.clear();
  for (const LogitsRow& row : logits_rows) numbers.push_back(row.row);
  logits_rows_ = Append<int32_t>(numbers, 0, 0);
}

RaggedBatch StepTables::View(const std::byte* device) const {
  RaggedBatch view;
  view.num_tokens = num_tokens_;
  view.num_sequences = num_sequences_;
  view.max_tokens_per_sequence = max_tokens_per_sequence_;
  view.positions = reinterpret_cast<const int64_t*>(device);
  view.tokens = reinterpret_cast<const uint32_t*>(device + tokens_);
  view.row_offsets = reinterpret_cast<const int32_t*>(device + row_offsets_);
  view.slots = reinterpret_cast<const int32_t*>(device + slots_);
  return view;
}

const int32_t* StepTables::LogitsRows(const std::byte* device) const {
  return reinterpret_cast<const int32_t*>(device + logits_rows_);
}

}  // namespace winnow
