#include "tests/e2e/faulty_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/drawn_token.h"

namespace winnow {
namespace {

// Neither the first nor the last number of a row.
constexpr int64_t kSpoiledColumn = 3;

}  // namespace

void FaultyBackend::SpoilLogits(uint64_t seed, int64_t position, float value) {
  const std::lock_guard<std::mutex> lock(mu_);
  logits_fault_ = {seed, position, value};
}

void FaultyBackend::SpoilEmbedding(uint32_t token, float value) {
  const std::lock_guard<std::mutex> lock(mu_);
  embedding_fault_ = {token, value};
}

void FaultyBackend::Heal() {
  const std::lock_guard<std::mutex> lock(mu_);
  logits_fault_.reset();
  embedding_fault_.reset();
}

void FaultyBackend::FailNextOp(absl::Status status) {
  const std::lock_guard<std::mutex> lock(mu_);
  op_failure_ = std::move(status);
}

void FaultyBackend::FailNextSynchronize(absl::Status status) {
  const std::lock_guard<std::mutex> lock(mu_);
  synchronize_failure_ = std::move(status);
}

void FaultyBackend::RefuseAllocation(int index) {
  const std::lock_guard<std::mutex> lock(mu_);
  refused_allocation_ = index;
}

int64_t FaultyBackend::num_faults() const {
  const std::lock_guard<std::mutex> lock(mu_);
  return num_faults_;
}

absl::StatusOr<DeviceBuffer> FaultyBackend::Allocate(int64_t size_bytes) {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    if (refused_allocation_.has_value() && (*refused_allocation_)-- == 0) {
      refused_allocation_.reset();
      ++num_faults_;
      return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", size_bytes, " bytes"));
    }
  }
  return ForwardingBackend::Allocate(size_bytes);
}

absl::Status FaultyBackend::Synchronize() {
  if (absl::Status status = TakeFailure(&synchronize_failure_); !status.ok()) return status;
  return ForwardingBackend::Synchronize();
}

absl::Status FaultyBackend::WaitForFence() {
  if (absl::Status status = TakeFailure(&synchronize_failure_); !status.ok()) return status;
  return ForwardingBackend::WaitForFence();
}

absl::Status FaultyBackend::Embed(const EmbedArgs& args) {
  absl::Status status = ForwardingBackend::Embed(args);
  const std::lock_guard<std::mutex> lock(mu_);
  for (int64_t t = 0; embedding_fault_.has_value() && t < args.out.dim(0); ++t) {
    if (TokenId(args.tokens[t], args.drawn) != embedding_fault_->token) continue;
    args.out.row<float>(t)[kSpoiledColumn] = embedding_fault_->value;
    ++num_faults_;
  }
  return status;
}

absl::Status FaultyBackend::Sample(const SampleArgs& args) {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    for (int64_t i = 0; logits_fault_.has_value() && i < args.logits.dim(0); ++i) {
      const LogitsRow& row = args.rows[i];
      if (row.sampling.seed != logits_fault_->seed) continue;
      if (row.position < logits_fault_->position) continue;
      args.logits.row<float>(i)[kSpoiledColumn] = logits_fault_->value;
      ++num_faults_;
    }
  }
  return ForwardingBackend::Sample(args);
}

absl::Status FaultyBackend::Around(const char* /*op*/, const std::function<absl::Status()>& run) {
  if (absl::Status status = TakeFailure(&op_failure_); !status.ok()) return status;
  return run();
}

absl::Status FaultyBackend::TakeFailure(std::optional<absl::Status>* failure) {
  const std::lock_guard<std::mutex> lock(mu_);
  if (!failure->has_value()) return absl::OkStatus();
  ++num_faults_;
  return *std::exchange(*failure, std::nullopt);
}

}  // namespace winnow
