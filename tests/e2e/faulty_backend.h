// FaultyBackend: another backend, and faults on command: numbers that are none, ops that fail, a
// device that is lost, memory that is refused.
//
//   FaultyBackend backend(*cpu::CpuBackend::Create({.num_threads = 2}));
//   backend.SpoilLogits(/*seed=*/7, /*position=*/40, std::nanf(""));
//
// Requests are told apart by what reaches a backend: their tokens and their seed. Numbers are
// spoiled in float32 host memory, so the other backend must be the CPU's. Commands from any thread,
// ops from one.
#ifndef WINNOW_TESTS_E2E_FAULTY_BACKEND_H_
#define WINNOW_TESTS_E2E_FAULTY_BACKEND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "kernels/backend.h"

namespace winnow {

class FaultyBackend final : public Backend {
 public:
  explicit FaultyBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  // From now on one logit of each row that draws with `seed` for `position` or a later one is
  // `value`.
  void SpoilLogits(uint64_t seed, int64_t position, float value);
  // From now on one number of each embedding of `token` is `value`: of the residual stream, and
  // with it of all state that the sequence keeps.
  void SpoilEmbedding(uint32_t token, float value);
  // No more spoiled numbers.
  void Heal();

  // The next op (not: copy of memory), or the next Synchronize, fails like this, once.
  void FailNextOp(absl::Status status);
  void FailNextSynchronize(absl::Status status);
  // Of the allocations from now on, number `index` is refused, as if there were no memory.
  void RefuseAllocation(int index);

  // Rows spoiled, calls failed and allocations refused until now.
  int64_t num_faults() const;

  // Backend.
  std::string_view name() const override { return inner_->name(); }
  std::string_view description() const override { return inner_->description(); }
  DType activation_dtype() const override { return inner_->activation_dtype(); }
  bool reads_weights_in_place() const override { return inner_->reads_weights_in_place(); }
  DType matrix_dtype(DType stored) const override { return inner_->matrix_dtype(stored); }
  absl::Status UploadFloats(std::byte* device, DType to, const void* host, DType from,
                            int64_t count) override {
    return inner_->UploadFloats(device, to, host, from, count);
  }
  std::optional<int64_t> available_bytes() const override { return inner_->available_bytes(); }
  int64_t ReservedBytes(const OpLimits& limits) const override {
    return inner_->ReservedBytes(limits);
  }
  absl::Status Reserve(const OpLimits& limits) override { return inner_->Reserve(limits); }
  // The buffers are the other backend's.
  absl::StatusOr<DeviceBuffer> Allocate(int64_t size_bytes) override;
  absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes) override {
    return inner_->Upload(device, host, size_bytes);
  }
  absl::Status Download(void* host, const std::byte* device, int64_t size_bytes) override {
    return inner_->Download(host, device, size_bytes);
  }
  absl::Status Zero(std::byte* device, int64_t size_bytes) override {
    return inner_->Zero(device, size_bytes);
  }
  absl::Status Copy(std::byte* to, const std::byte* from, int64_t size_bytes) override {
    return inner_->Copy(to, from, size_bytes);
  }
  absl::Status Synchronize() override;

  bool joins_products() const override { return inner_->joins_products(); }
  // Its own ops are what is to fail: none may be recorded past it.
  bool replays() const override { return false; }
  absl::Status Replay(uint64_t, const std::function<absl::Status()>& issue) override {
    return issue();
  }
  uint64_t NewReplayKey() override { return inner_->NewReplayKey(); }
  void ForgetReplay(uint64_t key) override { inner_->ForgetReplay(key); }

  absl::Status Embed(const EmbedArgs& args) override;
  absl::Status RmsNorm(const RmsNormArgs& args) override { return Run(&Backend::RmsNorm, args); }
  absl::Status Linear(const LinearArgs& args) override { return Run(&Backend::Linear, args); }
  absl::Status LinearGroup(const LinearGroupArgs& args) override {
    return Run(&Backend::LinearGroup, args);
  }
  absl::Status RopeTable(const RopeTableArgs& args) override {
    return Run(&Backend::RopeTable, args);
  }
  absl::Status Rope(const RopeArgs& args) override { return Run(&Backend::Rope, args); }
  absl::Status SwiGlu(const SwiGluArgs& args) override { return Run(&Backend::SwiGlu, args); }
  absl::Status Silu(const SiluArgs& args) override { return Run(&Backend::Silu, args); }
  absl::Status GatedRmsNorm(const GatedRmsNormArgs& args) override {
    return Run(&Backend::GatedRmsNorm, args);
  }
  absl::Status GatherRows(const GatherRowsArgs& args) override {
    return Run(&Backend::GatherRows, args);
  }
  absl::Status ShortConv(const ShortConvArgs& args) override {
    return Run(&Backend::ShortConv, args);
  }
  absl::Status ShortConvGroup(const ShortConvGroupArgs& args) override {
    return Run(&Backend::ShortConvGroup, args);
  }
  absl::Status GatedDelta(const GatedDeltaArgs& args) override {
    return Run(&Backend::GatedDelta, args);
  }
  absl::Status RouterScores(const RouterScoresArgs& args) override {
    return Run(&Backend::RouterScores, args);
  }
  absl::Status Departures(const DeparturesArgs& args) override {
    return Run(&Backend::Departures, args);
  }
  absl::Status Attention(const AttentionArgs& args) override {
    return Run(&Backend::Attention, args);
  }
  absl::Status WriteKv(const WriteKvArgs& args) override { return Run(&Backend::WriteKv, args); }
  absl::Status Sample(const SampleArgs& args) override;
  absl::Status EditTables(const EditTablesArgs& args) override {
    return Run(&Backend::EditTables, args);
  }
  absl::Status GatherCounts(const GatherCountsArgs& args) override {
    return Run(&Backend::GatherCounts, args);
  }

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
  template <typename Args>
  absl::Status Run(absl::Status (Backend::*op)(const Args&), const Args& args) {
    if (absl::Status status = TakeFailure(&op_failure_); !status.ok()) return status;
    return (inner_.get()->*op)(args);
  }
  absl::Status TakeFailure(std::optional<absl::Status>* failure);
  void Free(std::byte* device, int64_t size_bytes) override;

  const std::unique_ptr<Backend> inner_;

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
