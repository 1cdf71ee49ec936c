// CpuBackend: every op on the host's cores, in float32.
//
// Owns its threads. Ops run to their end before they return, so Synchronize and fences have nothing
// to wait for; the kernels are the free functions of kernels/cpu, which this class only dispatches
// to. One thread calls it.
#ifndef WINNOW_KERNELS_CPU_CPU_BACKEND_H_
#define WINNOW_KERNELS_CPU_CPU_BACKEND_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/thread_pool.h"

namespace winnow::cpu {

inline constexpr int kMaxThreads = 1024;

struct CpuOptions {
  int num_threads = 1;  // 1..kMaxThreads, the calling thread included
};

class CpuBackend final : public Backend {
 public:
  // INVALID_ARGUMENT naming the value and the range; RESOURCE_EXHAUSTED when the system refuses the
  // threads.
  static absl::StatusOr<std::unique_ptr<CpuBackend>> Create(const CpuOptions& options);

  std::string_view name() const override { return "cpu"; }
  std::string_view description() const override { return description_; }

  DType activation_dtype() const override { return DType::kF32; }
  bool reads_weights_in_place() const override { return true; }
  DType matrix_dtype(DType stored) const override { return stored; }
  absl::Status UploadFloats(std::byte* device, DType to, const void* host, DType from,
                            int64_t count) override;
  std::optional<int64_t> available_bytes() const override { return std::nullopt; }
  // Scratch belongs to the threads and grows as needed.
  int64_t ReservedBytes(const OpLimits& limits) const override;
  absl::Status Reserve(const OpLimits& limits) override;

  // Zeroed by the system when first touched: memory that is never used costs nothing.
  absl::StatusOr<DeviceBuffer> Allocate(int64_t size_bytes) override;
  absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes) override;
  absl::Status Download(void* host, const std::byte* device, int64_t size_bytes) override;
  absl::Status Zero(std::byte* device, int64_t size_bytes) override;
  absl::Status Copy(std::byte* to, const std::byte* from, int64_t size_bytes) override;
  absl::Status Synchronize() override;
  bool asynchronous() const override { return false; }
  absl::Status Fence() override;
  absl::Status WaitForFence() override;

  bool joins_products() const override { return false; }
  bool replays() const override { return false; }
  absl::Status Replay(uint64_t key, const std::function<absl::Status()>& issue) override;
  uint64_t NewReplayKey() override;
  void ForgetReplay(uint64_t key) override;

  absl::Status Embed(const EmbedArgs& args) override;
  absl::Status RmsNorm(const RmsNormArgs& args) override;
  absl::Status Linear(const LinearArgs& args) override;
  absl::Status LinearGroup(const LinearGroupArgs& args) override;
  absl::Status RopeTable(const RopeTableArgs& args) override;
  absl::Status Rope(const RopeArgs& args) override;
  absl::Status SwiGlu(const SwiGluArgs& args) override;
  absl::Status Silu(const SiluArgs& args) override;
  absl::Status GatedRmsNorm(const GatedRmsNormArgs& args) override;
  absl::Status GatherRows(const GatherRowsArgs& args) override;
  absl::Status ShortConv(const ShortConvArgs& args) override;
  absl::Status ShortConvGroup(const ShortConvGroupArgs& args) override;
  // The state is float32; a ring of any shape is taken.
  absl::Status CheckDeltaState(const DeltaStateFormat& format) const override;
  absl::Status GatedDelta(const GatedDeltaArgs& args) override;
  absl::Status AdvanceRing(const AdvanceRingArgs& args) override;
  absl::Status RouterScores(const RouterScoresArgs& args) override;
  absl::Status Departures(const DeparturesArgs& args) override;
  absl::Status Attention(const AttentionArgs& args) override;
  absl::Status WriteKv(const WriteKvArgs& args) override;
  absl::Status Sample(const SampleArgs& args) override;
  absl::Status EditTables(const EditTablesArgs& args) override;
  absl::Status GatherCounts(const GatherCountsArgs& args) override;

 private:
  explicit CpuBackend(int num_threads);
  void Free(std::byte* device, int64_t size_bytes) override;

  ThreadPool pool_;
  const std::string description_;
};

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_CPU_BACKEND_H_
