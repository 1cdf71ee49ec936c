// ForwardingBackend: a backend that hands every call to another one, for tests and benchmarks that
// override a few ops to look at their arguments, change results or measure time.
#ifndef WINNOW_KERNELS_TESTING_FORWARDING_BACKEND_H_
#define WINNOW_KERNELS_TESTING_FORWARDING_BACKEND_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/check.h"

namespace winnow::testing {

class ForwardingBackend : public Backend {
 public:
  // `to` must outlive this.
  explicit ForwardingBackend(Backend* to) : to_(*to) {}

  std::string_view name() const override { return to_.name(); }
  std::string_view description() const override { return to_.description(); }
  DType activation_dtype() const override { return to_.activation_dtype(); }
  bool reads_weights_in_place() const override { return to_.reads_weights_in_place(); }
  DType matrix_dtype(DType stored) const override { return to_.matrix_dtype(stored); }
  absl::Status UploadFloats(std::byte* device, DType to, const void* host, DType from,
                            int64_t count) override {
    return to_.UploadFloats(device, to, host, from, count);
  }
  std::optional<int64_t> available_bytes() const override { return to_.available_bytes(); }
  int64_t ReservedBytes(const OpLimits& limits) const override { return to_.ReservedBytes(limits); }
  absl::Status Reserve(const OpLimits& limits) override { return to_.Reserve(limits); }
  absl::StatusOr<DeviceBuffer> Allocate(int64_t size_bytes) override {
    return to_.Allocate(size_bytes);
  }
  absl::Status Upload(std::byte* device, const void* host, int64_t size_bytes) override {
    return to_.Upload(device, host, size_bytes);
  }
  absl::Status Download(void* host, const std::byte* device, int64_t size_bytes) override {
    return to_.Download(host, device, size_bytes);
  }
  absl::Status Zero(std::byte* device, int64_t size_bytes) override {
    return to_.Zero(device, size_bytes);
  }
  absl::Status Copy(std::byte* to, const std::byte* from, int64_t size_bytes) override {
    return to_.Copy(to, from, size_bytes);
  }
  absl::Status Synchronize() override { return to_.Synchronize(); }
  bool asynchronous() const override { return to_.asynchronous(); }
  absl::Status Fence() override { return to_.Fence(); }
  absl::Status WaitForFence() override { return to_.WaitForFence(); }
  bool joins_products() const override { return to_.joins_products(); }
  // Every call is to be seen: nothing is replayed.
  bool replays() const override { return false; }
  absl::Status Replay(uint64_t, const std::function<absl::Status()>& issue) override {
    return issue();
  }
  uint64_t NewReplayKey() override { return to_.NewReplayKey(); }
  void ForgetReplay(uint64_t key) override { to_.ForgetReplay(key); }

#define WINNOW_FORWARD(Op)                            \
  absl::Status Op(const Op##Args& args) override {    \
    return Around(#Op, [&] { return to_.Op(args); }); \
  }
  WINNOW_FORWARD(Embed)
  WINNOW_FORWARD(RmsNorm)
  WINNOW_FORWARD(Linear)
  WINNOW_FORWARD(LinearGroup)
  WINNOW_FORWARD(RopeTable)
  WINNOW_FORWARD(Rope)
  WINNOW_FORWARD(SwiGlu)
  WINNOW_FORWARD(Silu)
  WINNOW_FORWARD(GatedRmsNorm)
  WINNOW_FORWARD(GatherRows)
  WINNOW_FORWARD(ShortConv)
  WINNOW_FORWARD(ShortConvGroup)
  absl::Status CheckDeltaState(const DeltaStateFormat& format) const override {
    return to_.CheckDeltaState(format);
  }
  WINNOW_FORWARD(GatedDelta)
  WINNOW_FORWARD(AdvanceRing)
  WINNOW_FORWARD(RouterScores)
  WINNOW_FORWARD(Departures)
  WINNOW_FORWARD(Attention)
  WINNOW_FORWARD(WriteKv)
  WINNOW_FORWARD(Sample)
  WINNOW_FORWARD(EditTables)
  WINNOW_FORWARD(GatherCounts)
#undef WINNOW_FORWARD

 protected:
  // Runs an op; for those who want to do something before and after each.
  virtual absl::Status Around(const char* /*op*/, const std::function<absl::Status()>& run) {
    return run();
  }

 private:
  // Buffers come from the other backend and go back to it.
  void Free(std::byte*, int64_t) override { WINNOW_CHECK(false); }

  Backend& to_;
};

}  // namespace winnow::testing

#endif  // WINNOW_KERNELS_TESTING_FORWARDING_BACKEND_H_
