// FaultyBackend: another backend, and faults on command: numbers that are none, ops that fail, a
// device that is lost, memory that is refused.
//
//   FaultyBackend backend(cpu_backend.get());
//   backend.SpoilLogits(/*seed=*/7, /*position=*/40, std::nanf(""));
//
// Requests are told apart by what reaches a backend: their tokens and their seed. Numbers are
// spoiled in float32 host memory, so the other backend must be the CPU's. Commands from any thread,
// ops from one.
#ifndef WINNOW_TESTS_E2E_FAULTY_BACKEND_H_
#define WINNOW_TESTS_E2E_FAULTY_BACKEND_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "kernels/testing/forwarding_backend.h"

namespace winnow {

class FaultyBackend final : public testing::ForwardingBackend {
 public:
  // `to` must outlive this.
  explicit FaultyBackend(Backend* to) : ForwardingBackend(to) {}

  // From now on one logit of each row that draws with `seed` for `position` or a later one is
  // `value`.
  void SpoilLogits(uint64_t seed, int64_t position, float value);
  // From now on one number of each embedding of `token` is `value`: of the residual stream, and
  // with it of all state that the sequence keeps.
  void SpoilEmbedding(uint32_t token, float value);
  // No more spoiled numbers.
  void Heal();

  // The next op (not: copy of memory), or the next wait (Synchronize or WaitForFence), fails like
  // this, once.
  void FailNextOp(absl::Status status);
  void FailNextSynchronize(absl::Status status);
  // Of the allocations from now on, number `index` is refused, as if there were no memory.
  void RefuseAllocation(int index);

  // Rows spoiled, calls failed and allocations refused until now.
  int64_t num_faults() const;

  absl::StatusOr<DeviceBuffer> Allocate(int64_t size_bytes) override;
  absl::Status Synchronize() override;
  absl::Status WaitForFence() override;
  absl::Status Embed(const EmbedArgs& args) override;
  absl::Status Sample(const SampleArgs& args) override;

 private:
  struct LogitsFault {
    uint64_t seed;
    int64_t position;
    float value;
  };
  struct EmbeddingFault {
    uint32_t token;
    float value;
  };

  // The op, unless it is the one to fail.
  absl::Status Around(const char* op, const std::function<absl::Status()>& run) override;
  absl::Status TakeFailure(std::optional<absl::Status>* failure);

  mutable std::mutex mu_;
  std::optional<LogitsFault> logits_fault_;  // guarded by mu_, as is all that follows
  std::optional<EmbeddingFault> embedding_fault_;
  std::optional<absl::Status> op_failure_;
  std::optional<absl::Status> synchronize_failure_;
  std::optional<int> refused_allocation_;
  int64_t num_faults_ = 0;
};

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_FAULTY_BACKEND_H_
