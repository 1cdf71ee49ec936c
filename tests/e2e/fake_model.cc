#include "tests/e2e/fake_model.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "kernels/check.h"

namespace winnow {
namespace {

// The finalizer of SplitMix64.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t Extend(uint64_t hash, uint32_t token) { return Mix(hash ^ (uint64_t{token} + 1)); }

uint32_t TokenOf(uint64_t hash) {
  return FakeModel::kNumSpecial + hash % (FakeModel::kVocabSize - FakeModel::kNumSpecial);
}

float LogprobOf(uint64_t hash, uint32_t token) {
  return -0.125f - static_cast<float>(Mix(hash ^ token) % 4096) / 256;
}

}  // namespace

ModelConfig FakeModel::Config() {
  GatedDeltaConfig gdn;
  gdn.num_heads = gdn.num_v_heads = 2;
  gdn.head_dim = gdn.value_dim = 8;
  gdn.conv_size = 4;
  AttentionConfig attention;
  attention.num_heads = attention.num_kv_heads = 2;
  attention.head_dim = 8;
  attention.window_size = 16;
  attention.eviction.emplace();
  attention.eviction->conv_size = {3, 3};
  attention.eviction->conv_dilation = {1, 1};
  attention.eviction->buffer_size = 8;
  ModelConfig config;
  config.model_type = "hybrid_gated_deltanet";
  config.hidden_size = 16;
  config.intermediate_size = 32;
  config.vocab_size = kVocabSize;
  config.layers = {{gdn}, {attention}, {gdn}};
  config.eos_token_ids = {2};
  return config;
}

std::vector<uint32_t> FakeModel::GreedyAnswer(absl::Span<const uint32_t> prompt, int num) {
  uint64_t hash = 0;
  for (const uint32_t token : prompt) hash = Extend(hash, token);
  std::vector<uint32_t> answer;
  for (int i = 0; i < num; ++i) {
    answer.push_back(TokenOf(hash));
    hash = Extend(hash, answer.back());
  }
  return answer;
}

void FakeModel::HoldSteps() {
  std::lock_guard<std::mutex> lock(mu_);
  holding_ = true;
  permits_ = 0;
}

void FakeModel::AllowSteps(int n) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    permits_ += n;
  }
  changed_.notify_all();
}

void FakeModel::Release() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    holding_ = false;
  }
  changed_.notify_all();
}

void FakeModel::WaitUntilHeld() {
  std::unique_lock<std::mutex> lock(mu_);
  changed_.wait(lock, [this] { return held_ && permits_ == 0; });
}

void FakeModel::SetStepTime(absl::Duration time) {
  std::lock_guard<std::mutex> lock(mu_);
  step_time_ = time;
}

void FakeModel::FailNextStep(absl::Status status) {
  std::lock_guard<std::mutex> lock(mu_);
  failure_ = std::move(status);
}

void FakeModel::PoisonToken(uint32_t token) {
  std::lock_guard<std::mutex> lock(mu_);
  poison_ = token;
}

int64_t FakeModel::num_steps() const {
  std::lock_guard<std::mutex> lock(mu_);
  return num_steps_;
}

int64_t FakeModel::max_sequences_in_a_step() const {
  std::lock_guard<std::mutex> lock(mu_);
  return max_sequences_;
}

absl::Status FakeModel::Launch(const StepBatch& batch) {
  WINNOW_CHECK(!batch.empty());
  batch_ = batch;
  return absl::OkStatus();
}

absl::Status FakeModel::Pass() {
  std::unique_lock<std::mutex> lock(mu_);
  held_ = holding_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return !holding_ || permits_ > 0; });
  if (holding_) --permits_;
  held_ = false;
  ++num_steps_;
  max_sequences_ = std::max(max_sequences_, batch_.num_sequences());
  if (failure_.has_value()) return *std::exchange(failure_, std::nullopt);
  return absl::OkStatus();
}

absl::Status FakeModel::Wait(StepResult* result) {
  absl::SleepFor([this] {
    std::lock_guard<std::mutex> lock(mu_);
    return step_time_;
  }());
  if (absl::Status status = Pass(); !status.ok()) return status;
  for (const SlotCopy& copy : batch_.slot_copies) slots_[copy.to] = slots_[copy.from];
  for (const int32_t slot : batch_.zero_slots) slots_[slot] = Sequence();
  *result = StepResult();
  for (int64_t b = 0; b < batch_.num_sequences(); ++b) RunSequence(b, result);
  WINNOW_CHECK(result->rows.size() == batch_.logits_rows.size());
  return absl::OkStatus();
}

void FakeModel::RunSequence(int64_t b, StepResult* result) {
  std::optional<uint32_t> poison;
  {
    std::lock_guard<std::mutex> lock(mu_);
    poison = poison_;
  }
  Sequence& sequence = slots_[batch_.slots[b]];
  for (int32_t row = batch_.row_offsets[b]; row < batch_.row_offsets[b + 1]; ++row) {
    WINNOW_CHECK(batch_.positions[row] == sequence.num_computed)
        << batch_.positions[row] << " after " << sequence.num_computed << " tokens";
    sequence.hash = Extend(sequence.hash, batch_.tokens[row]);
    sequence.poisoned |= batch_.tokens[row] == poison;
    ++sequence.num_computed;
    for (size_t i = result->rows.size();
         i < batch_.logits_rows.size() && batch_.logits_rows[i].row == row; ++i) {
      result->rows.push_back(Answer(batch_.logits_rows[i], sequence.hash, sequence.poisoned));
    }
  }
  std::vector<int32_t> kept(spec_.num_kept_lists());
  for (const PageList& list : spec_.lists()) {
    if (list.kind != PageListKind::kKept) continue;
    kept[list.kept_index] = static_cast<int32_t>(
        std::clamp<int64_t>(sequence.num_computed - list.span, 0, list.capacity));
  }
  result->kept_counts.insert(result->kept_counts.end(), kept.begin(), kept.end());
}

RowResult FakeModel::Answer(const LogitsRow& row, uint64_t hash, bool poisoned) const {
  RowResult result;
  result.fault = poisoned;
  if (poisoned) return result;
  const bool greedy = row.sampling.temperature == 0;
  const uint64_t draw = greedy ? hash : Mix(hash ^ Mix(row.sampling.seed ^ row.position));
  result.token = row.purpose == RowPurpose::kScore ? row.score_token : TokenOf(draw);
  const auto& suppressed = row.context.suppressed;
  while (std::find(suppressed.begin(), suppressed.end(), result.token) != suppressed.end()) {
    if (++result.token == kVocabSize) result.token = kNumSpecial;
  }
  if (!row.want_logprobs) return result;
  result.logprob = LogprobOf(hash, result.token);
  result.rank = 1 + Mix(hash ^ result.token) % 4096;
  for (uint32_t i = 0; i < row.num_top; ++i) {
    const auto token = static_cast<uint32_t>((hash + i) % kVocabSize);
    result.top.push_back({token, -0.0625f * static_cast<float>(i + 1)});
  }
  return result;
}

}  // namespace winnow
