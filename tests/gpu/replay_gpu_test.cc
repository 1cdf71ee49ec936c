// Steps of single tokens that are padded and replayed as CUDA graphs compute and keep what the same
// steps do op by op: random batches of every size, in random order, of sequences whose every step
// depends on all states that the ones before it wrote.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/check.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/testing/forwarding_backend.h"
#include "model/config.h"
#include "model/device_weights.h"
#include "model/hybrid_model.h"
#include "model/state_spec.h"
#include "model/weights.h"

namespace winnow {
namespace {

constexpr int64_t kSequences = 70;
constexpr int kSteps = 120;

template <typename T>
T Must(absl::StatusOr<T> value) {
  WINNOW_CHECK(value.ok()) << value.status();
  return *std::move(value);
}

// A model with all pages in place.
class Stepper {
 public:
  Stepper(const std::string& directory, Backend* backend)
      : config_(Must(LoadModelConfig(directory + "/config.json"))),
        weights_(Must(PlaceWeights(Must(Weights::Load(directory, config_)), backend,
                                   [](int64_t, int64_t) {}))),
        positions_(kSequences, 0) {
    const StateSpec spec =
        Must(StateSpec::Create(config_, {.page_tokens = 16,
                                         .page_dtype = backend->activation_dtype(),
                                         .max_sequence_tokens = 2 * kSteps}));
    model_ = Must(HybridModel::Create(config_, weights_.get(), backend, spec,
                                      {.max_step_tokens = kSequences,
                                       .max_step_sequences = kSequences,
                                       .num_slots = kSequences,
                                       .num_pages = kSequences * spec.table_entries()}));
  }

  // The next token of each of the sequences; log-probabilities of some token after it.
  std::vector<float> Step(const std::vector<int32_t>& sequences, uint64_t seed) {
    StepBatch batch;
    if (first_) GivePages(&batch);
    first_ = false;
    batch.row_offsets.push_back(0);
    for (const int32_t s : sequences) {
      const int32_t row = static_cast<int32_t>(batch.tokens.size());
      batch.tokens.push_back(static_cast<uint32_t>((seed * 31 + s * 17) % config_.vocab_size));
      batch.positions.push_back(positions_[s]++);
      batch.row_offsets.push_back(row + 1);
      batch.slots.push_back(s + 1);
      LogitsRow logits;
      logits.row = row;
      logits.purpose = RowPurpose::kScore;
      logits.score_token = static_cast<uint32_t>((seed + s) % config_.vocab_size);
      logits.want_logprobs = true;
      batch.logits_rows.push_back(logits);
    }
    StepResult result;
    absl::Status status = model_->Launch(batch);
    if (status.ok()) status = model_->Wait(&result);
    WINNOW_CHECK(status.ok()) << status;
    std::vector<float> logprobs;
    for (const RowResult& row : result.rows) logprobs.push_back(row.logprob);
    for (const int32_t count : result.kept_counts) logprobs.push_back(static_cast<float>(count));
    return logprobs;
  }

 private:
  void GivePages(StepBatch* batch) const {
    int32_t page = 1;
    for (int32_t slot = 1; slot <= kSequences; ++slot) {
      batch->zero_slots.push_back(slot);
      for (int64_t entry = 0; entry < model_->state_spec().table_entries(); ++entry) {
        batch->page_edits.push_back({slot, entry, page++});
      }
    }
  }

  const ModelConfig config_;
  std::unique_ptr<const Weights> weights_;
  std::unique_ptr<HybridModel> model_;
  std::vector<int64_t> positions_;
  bool first_ = true;
};

class ReplayGpuTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ReplayGpuTest, KeepsWhatTheSameOpsKeep) {
  const std::string directory = "tests/golden/" + GetParam();
  Backend& cuda = cuda::CudaFor(DType::kF32);
  testing::ForwardingBackend eager_backend(&cuda);
  ASSERT_TRUE(cuda.replays());
  ASSERT_FALSE(eager_backend.replays());
  Stepper replayed(directory, &cuda), eager(directory, &eager_backend);
  std::mt19937_64 random(5);
  std::vector<int32_t> order(kSequences);
  std::iota(order.begin(), order.end(), 0);
  for (int step = 0; step < kSteps; ++step) {
    std::shuffle(order.begin(), order.end(), random);
    // All sizes come up, each several times, so that first runs, recordings and replays mix.
    const int64_t size = 1 + static_cast<int64_t>(random() % (step % 2 == 0 ? 9 : kSequences));
    const std::vector<int32_t> sequences(order.begin(), order.begin() + size);
    const uint64_t seed = random() % 1'000'000;
    const std::vector<float> expected = eager.Step(sequences, seed);
    const std::vector<float> actual = replayed.Step(sequences, seed);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], 1e-3) << "step " << step << ", size " << size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ReplayGpuTest, ::testing::Values("gdn", "swa", "attn", "lte"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace winnow
