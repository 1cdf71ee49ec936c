#include "model/step_tables.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

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

void StepTables::Pack(const StepBatch& batch, absl::Span<const LogitsRow> logits_rows) {
  num_tokens_ = batch.num_tokens();
  num_sequences_ = batch.num_sequences();
  max_tokens_per_sequence_ = 0;
  for (int64_t b = 0; b < num_sequences_; ++b) {
    max_tokens_per_sequence_ = std::max<int64_t>(max_tokens_per_sequence_,
                                                 batch.row_offsets[b + 1] - batch.row_offsets[b]);
  }
  bytes_.clear();
  const auto append = [this](const auto& values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    const int64_t offset = static_cast<int64_t>(bytes_.size());
    bytes_.resize(offset + PartBytes<T>(static_cast<int64_t>(values.size())));
    std::memcpy(bytes_.data() + offset, values.data(), values.size() * sizeof(T));
    return offset;
  };
  append(batch.positions);
  tokens_ = append(batch.tokens);
  row_offsets_ = append(batch.row_offsets);
  slots_ = append(batch.slots);
  std::vector<int32_t> rows;
  for (const LogitsRow& row : logits_rows) rows.push_back(row.row);
  logits_rows_ = append(rows);
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
