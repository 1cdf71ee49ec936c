#include "tests/gpu/scored_model.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"
#include "model/device_weights.h"
#include "model/state_spec.h"

namespace winnow {
namespace {

constexpr int32_t kSlot = 1;
constexpr int64_t kPageTokens = 16;

template <typename T>
T Must(absl::StatusOr<T> value) {
  WINNOW_CHECK(value.ok()) << value.status();
  return *std::move(value);
}

}  // namespace

ScoredModel::ScoredModel(const std::string& directory, Backend* backend, int64_t max_tokens)
    : config_(Must(LoadModelConfig(directory + "/config.json"))),
      weights_(Must(PlaceWeights(Must(Weights::Load(directory, config_)), backend,
                                 [](int64_t, int64_t) {}))) {
  const StateSpec spec = Must(StateSpec::Create(config_, {.page_tokens = kPageTokens,
                                                          .page_dtype = backend->activation_dtype(),
                                                          .max_sequence_tokens = max_tokens}));
  model_ = Must(HybridModel::Create(config_, weights_.get(), backend, spec,
                                    {.max_step_tokens = max_tokens,
                                     .max_step_sequences = 1,
                                     .num_slots = 1,
                                     .num_pages = spec.table_entries(),
                                     .logits_block_rows = 512}));
}

// Every token of the vocabulary is scored after every row.
StepBatch ScoredModel::Batch(const std::vector<uint32_t>& tokens, int64_t begin, int64_t end) {
  StepBatch batch;
  if (begin == 0) {
    batch.zero_slots.push_back(kSlot);
    for (int64_t entry = 0; entry < model_->state_spec().table_entries(); ++entry) {
      batch.page_edits.push_back({kSlot, entry, static_cast<int32_t>(entry + 1)});
    }
  }
  batch.row_offsets = {0, static_cast<int32_t>(end - begin)};
  batch.slots = {kSlot};
  for (int64_t t = begin; t < end; ++t) {
    batch.tokens.push_back(tokens[t]);
    batch.positions.push_back(t);
    for (int64_t id = 0; id < config_.vocab_size; ++id) {
      LogitsRow row;
      row.row = static_cast<int32_t>(t - begin);
      row.purpose = RowPurpose::kScore;
      row.score_token = static_cast<uint32_t>(id);
      row.want_logprobs = true;
      batch.logits_rows.push_back(row);
    }
  }
  return batch;
}

LogprobRows ScoredModel::Score(const std::vector<uint32_t>& tokens, int64_t piece) {
  LogprobRows rows;
  const int64_t count = static_cast<int64_t>(tokens.size());
  for (int64_t begin = 0; begin < count; begin += piece) {
    const StepBatch batch = Batch(tokens, begin, std::min(count, begin + piece));
    StepResult result;
    absl::Status status = model_->Launch(batch);
    if (status.ok()) status = model_->Wait(&result);
    WINNOW_CHECK(status.ok()) << status;
    for (size_t i = 0; i < result.rows.size(); ++i) {
      if (static_cast<int64_t>(i) % config_.vocab_size == 0) rows.emplace_back();
      rows.back().push_back(result.rows[i].logprob);
    }
    kept_counts_ = result.kept_counts;
  }
  return rows;
}

}  // namespace winnow
