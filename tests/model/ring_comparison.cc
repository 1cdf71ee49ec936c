#include "tests/model/ring_comparison.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/check.h"
#include "model/config.h"
#include "model/device_weights.h"
#include "model/hybrid_model.h"
#include "model/state_spec.h"
#include "model/weights.h"
#include "tools/random_checkpoint_lib.h"

namespace winnow {
namespace {

constexpr int32_t kSequences = 11;
constexpr int kSteps = 150;
constexpr int64_t kMaxRows = 9;  // of a sequence in a step
constexpr uint32_t kVocab = 61;

// Heads of a size that every backend's rings take.
std::string ConfigJson(bool evicts) {
  const std::string eviction = R"({"layers": [1], "attn_type": "lte", "num_heads": 2,
    "num_kv_heads": 2, "window_size": 12, "buffer_size": 16, "sink_size": 1, "rope_theta": 1000.0,
    "qkv_bias": false, "conv_size": [3, 3, 3], "conv_dilation": [2, 2, 2]})";
  return absl::StrCat(R"({"model_type": ")", evicts ? "hybrid_gated_deltanet" : "gated_deltanet",
                      R"(", "hidden_size": 32, "num_hidden_layers": 4, "vocab_size": )", kVocab,
                      R"(, "intermediate_size": 40, "norm_eps": 1e-6, "conv_size": 4,
    "tie_word_embeddings": false, "num_heads": 1, "num_v_heads": 2, "head_dim": 64, "expand_v": 1,
    "attn": )",
                      evicts ? eviction : "null", "}");
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  WINNOW_CHECK(value.ok()) << value.status();
  return *std::move(value);
}

class SteppedModel {
 public:
  SteppedModel(const std::string& directory, Backend* backend, int64_t state_ring)
      : config_(Must(LoadModelConfig(directory + "/config.json"))),
        weights_(Must(PlaceWeights(Must(Weights::Load(directory, config_)), backend,
                                   [](int64_t, int64_t) {}))) {
    const StateSpec spec = Must(StateSpec::Create(
        config_,
        {.page_tokens = 4, .page_dtype = backend->activation_dtype(), .state_ring = state_ring}));
    model_ = Must(HybridModel::Create(config_, weights_.get(), backend, spec,
                                      {.max_step_tokens = kSequences * kMaxRows,
                                       .max_step_sequences = kSequences,
                                       .num_slots = kSequences,
                                       .num_pages = kSequences * spec.table_entries()}));
    const absl::Status warm = model_->WarmUp();
    WINNOW_CHECK(warm.ok()) << warm;
  }

  const StateSpec& spec() const { return model_->state_spec(); }
  StepResult Run(const StepBatch& batch) {
    StepResult result;
    absl::Status status = model_->Launch(batch);
    if (status.ok()) status = model_->Wait(&result);
    WINNOW_CHECK(status.ok()) << status;
    return result;
  }

 private:
  const ModelConfig config_;
  std::unique_ptr<const Weights> weights_;
  std::unique_ptr<HybridModel> model_;
};

// Random steps of sequences in slots 1 .. kSequences, each with all its pages.
class RandomSteps {
 public:
  explicit RandomSteps(int64_t table_entries)
      : table_entries_(table_entries), positions_(kSequences + 1, 0) {}

  StepBatch Next() {
    StepBatch batch;
    std::vector<int32_t> slots(kSequences);
    std::iota(slots.begin(), slots.end(), 1);
    std::shuffle(slots.begin(), slots.end(), random_);
    if (is_first_) {
      for (const int32_t slot : slots) Begin(slot, &batch);
    } else if (random_() % 3 == 0) {
      Fork(slots[0], slots[1], &batch);
    } else if (random_() % 4 == 0) {
      Begin(slots[0], &batch);
    }
    is_first_ = false;
    batch.row_offsets.push_back(0);
    slots.resize(1 + random_() % kSequences);
    const bool has_pieces = random_() % 3 == 0;
    for (const int32_t slot : slots) {
      AddRows(slot, has_pieces && random_() % 2 == 0 ? 2 + random_() % (kMaxRows - 1) : 1, &batch);
    }
    return batch;
  }

 private:
  int32_t PageOf(int32_t slot, int64_t entry) const {
    return static_cast<int32_t>((slot - 1) * table_entries_ + entry + 1);
  }
  void GivePages(int32_t slot, StepBatch* batch) const {
    for (int64_t entry = 0; entry < table_entries_; ++entry) {
      batch->page_edits.push_back({slot, entry, PageOf(slot, entry)});
    }
  }
  void Begin(int32_t slot, StepBatch* batch) {
    batch->zero_slots.push_back(slot);
    GivePages(slot, batch);
    positions_[slot] = 0;
  }
  void Fork(int32_t from, int32_t to, StepBatch* batch) {
    batch->slot_copies.push_back({from, to});
    for (int64_t entry = 0; entry < table_entries_; ++entry) {
      batch->page_copies.push_back({PageOf(from, entry), PageOf(to, entry)});
    }
    GivePages(to, batch);
    positions_[to] = positions_[from];
  }
  // Every row has some token's log-probability wanted.
  void AddRows(int32_t slot, int64_t num_rows, StepBatch* batch) {
    batch->slots.push_back(slot);
    for (int64_t i = 0; i < num_rows; ++i) {
      LogitsRow row;
      row.row = static_cast<int32_t>(batch->tokens.size());
      row.purpose = RowPurpose::kScore;
      row.score_token = random_() % kVocab;
      row.want_logprobs = true;
      batch->logits_rows.push_back(row);
      batch->tokens.push_back(random_() % kVocab);
      batch->positions.push_back(positions_[slot]++);
    }
    batch->row_offsets.push_back(static_cast<int32_t>(batch->tokens.size()));
  }

  const int64_t table_entries_;
  std::mt19937 random_{17};
  std::vector<int64_t> positions_;  // by slot
  bool is_first_ = true;
};

}  // namespace

void ExpectRingChangesNothing(const RingRun& run) {
  const std::string dir = absl::StrCat(::testing::TempDir(), "/ring_", run.evicts);
  const absl::Status written = WriteRandomCheckpoint(
      ConfigJson(run.evicts), dir, {.seed = 7, .dtype = DType::kF32, .overwrite = true});
  ASSERT_TRUE(written.ok()) << written;
  SteppedModel without(dir, run.backend, 0), with(dir, run.ring_backend, run.state_ring);
  ASSERT_EQ(with.spec().state_ring(), run.state_ring);
  RandomSteps steps(with.spec().table_entries());
  double worst = 0;
  for (int step = 0; step < kSteps; ++step) {
    const StepBatch batch = steps.Next();
    const StepResult expected = without.Run(batch), actual = with.Run(batch);
    ASSERT_EQ(actual.kept_counts, expected.kept_counts) << "step " << step;
    ASSERT_EQ(actual.rows.size(), batch.tokens.size());
    for (size_t i = 0; i < actual.rows.size(); ++i) {
      ASSERT_NEAR(actual.rows[i].logprob, expected.rows[i].logprob, run.bound)
          << "step " << step << ", row " << i;
      worst = std::max(worst, std::abs(double{actual.rows[i].logprob} - expected.rows[i].logprob));
    }
  }
  ::testing::Test::RecordProperty("worst_difference", ::testing::PrintToString(worst));
}

}  // namespace winnow
