// CudaBackend: every op on one CUDA device (Hopper), in bf16 with float32 sums or all in float32.
//
// Owns a stream, on which everything runs in the order of the calls, pinned staging buffers and the
// ops' own memory. Ops return when they are issued; Synchronize waits. Memory is taken by Allocate
// and Reserve, at start, out of one budget; no op allocates. The kernels are launchers that return
// cudaError_t, beside this file; cuBLASLt computes matrix products (matmul.h).
//
// Errors: an op that CUDA refuses is INTERNAL and did nothing. After a kernel failed (an invalid
// address, a broken invariant's trap, a hardware error) the context is lost: that call or a later
// one says DATA_LOSS, and so does every call from then on. One thread.
#ifndef WINNOW_KERNELS_CUDA_CUDA_BACKEND_H_
#define WINNOW_KERNELS_CUDA_CUDA_BACKEND_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cuda/create.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/sample.h"
#include "kernels/cuda/staging.h"

namespace winnow::cuda {

class CudaBackend final : public Backend {
 public:
  // Errors as CreateCudaBackend's.
  static absl::StatusOr<std::unique_ptr<CudaBackend>> Create(const CudaOptions& options);
  ~CudaBackend() override;

  std::string_view name() const override { return "cuda"; }
  std::string_view description() const override { return description_; }
  cudaStream_t stream() const { return stream_; }

  DType activation_dtype() const override { return compute_; }
  bool reads_weights_in_place() const override { return false; }
  DType matrix_dtype(DType) const override { return compute_; }
  absl::Status UploadFloats(std::byte* device, DType to, const void* host, DType from,
                            int64_t count) override;
  std::optional<int64_t> available_bytes() const override { return budget_bytes_ - used_bytes_; }
  int64_t ReservedBytes(const OpLimits& limits) const override;
  absl::Status Reserve(const OpLimits& limits) override;

  absl::StatusOr<DeviceBuffer> Allocate(int64_t size_bytes) override;
  absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes) override;
  absl::Status Download(void* host, const std::byte* device, int64_t size_bytes) override;
  absl::Status Zero(std::byte* device, int64_t size_bytes) override;
  absl::Status Copy(std::byte* to, const std::byte* from, int64_t size_bytes) override;
  absl::Status Synchronize() override;
  bool asynchronous() const override { return true; }
  absl::Status Fence() override;
  absl::Status WaitForFence() override;

  bool joins_products() const override { return true; }
  bool replays() const override { return true; }
  // The first time the ops are issued (products choose their algorithms then), the second time they
  // are recorded as a CUDA graph, which is launched from then on.
  absl::Status Replay(uint64_t key, const std::function<absl::Status()>& issue) override;
  uint64_t NewReplayKey() override { return next_key_++; }
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
  // The state is float32 or bf16; a ring needs float32 and the shapes of TakesDeltaRing.
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
  explicit CudaBackend(const CudaOptions& options) : options_(options), compute_(options.compute) {}
  absl::Status Init();
  void Free(std::byte* device, int64_t size_bytes) override;

  // The status of a call; once the context is lost, that for good.
  absl::Status Result(absl::Status status);
  absl::Status Result(cudaError_t error, std::string_view what);
  absl::Status Record(const std::function<absl::Status()>& issue, cudaGraphExec_t* graph);
  // Draws or scores rows that all fit the buffers: `count` rows from `begin` on.
  absl::Status SampleRows(const SampleArgs& args, int64_t begin, const std::vector<SampleRow>& rows,
                          const std::vector<TokenEdit>& edits);

  const CudaOptions options_;
  const DType compute_;
  std::string description_;
  int64_t budget_bytes_ = 0;
  int64_t used_bytes_ = 0;
  cudaStream_t stream_ = nullptr;
  absl::Status lost_;

  // By key; null: issued once, not recorded yet.
  std::map<uint64_t, cudaGraphExec_t> graphs_;
  uint64_t next_key_ = 1;

  std::unique_ptr<Staging> staging_;
  DeviceBuffer workspace_;  // of the products; UploadFloats converts through it
  std::unique_ptr<Matmul> matmul_;

  // Reserve's.
  OpLimits limits_;                 // of Sample
  DeviceBuffer scratch_;            // for one op at a time
  DeviceBuffer attention_scratch_;  // Attention's own: zero between launches
  DeviceBuffer sample_rows_, sample_edits_, saved_logits_, sample_outputs_;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_CUDA_BACKEND_H_
