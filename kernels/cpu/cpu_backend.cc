#include "kernels/cpu/cpu_backend.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "hwy/targets.h"
#include "kernels/check.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/dense.h"
#include "kernels/cpu/departures.h"
#include "kernels/cpu/gated_delta.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/router.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/short_conv.h"
#include "kernels/cpu/write_kv.h"

namespace winnow::cpu {
namespace {

// The best instruction set that this machine and this build have: the lowest bit set.
std::string TargetName() {
  const int64_t targets = hwy::SupportedTargets();
  return hwy::TargetName(targets & -targets);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuBackend>> CpuBackend::Create(const CpuOptions& options) {
  if (options.num_threads < 1 || options.num_threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.num_threads, ", must be in 1..", kMaxThreads));
  }
  return std::unique_ptr<CpuBackend>(new CpuBackend(options.num_threads));
}

CpuBackend::CpuBackend(int num_threads)
    : pool_(num_threads),
      description_(absl::StrCat(num_threads, num_threads == 1 ? " thread, " : " threads, ",
                                TargetName())) {}

absl::StatusOr<DeviceBuffer> CpuBackend::Allocate(int64_t size_bytes) {
  WINNOW_CHECK(size_bytes > 0) << size_bytes;
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot allocate ", size_bytes, " bytes: ", std::strerror(errno)));
  }
  return DeviceBuffer(this, static_cast<std::byte*>(memory), size_bytes);
}

void CpuBackend::Free(std::byte* device, int64_t size_bytes) { munmap(device, size_bytes); }

absl::Status CpuBackend::Upload(std::byte* device, const void* host, int64_t size_bytes) {
  std::memcpy(device, host, size_bytes);
  return absl::OkStatus();
}

absl::Status CpuBackend::Download(void* host, const std::byte* device, int64_t size_bytes) {
  std::memcpy(host, device, size_bytes);
  return absl::OkStatus();
}

absl::Status CpuBackend::Zero(std::byte* device, int64_t size_bytes) {
  std::memset(device, 0, size_bytes);
  return absl::OkStatus();
}

absl::Status CpuBackend::Synchronize() { return absl::OkStatus(); }

#define WINNOW_DISPATCH(Op)                                \
  absl::Status CpuBackend::Op(const Op##Args& args) {      \
    cpu::Op(pool_, args);                                  \
    return absl::OkStatus();                               \
  }
WINNOW_DISPATCH(Embed)
WINNOW_DISPATCH(RmsNorm)
WINNOW_DISPATCH(Linear)
WINNOW_DISPATCH(RopeTable)
WINNOW_DISPATCH(Rope)
WINNOW_DISPATCH(SwiGlu)
WINNOW_DISPATCH(Silu)
WINNOW_DISPATCH(GatedRmsNorm)
WINNOW_DISPATCH(GatherRows)
WINNOW_DISPATCH(ShortConv)
WINNOW_DISPATCH(GatedDelta)
WINNOW_DISPATCH(RouterScores)
WINNOW_DISPATCH(Departures)
WINNOW_DISPATCH(Attention)
WINNOW_DISPATCH(WriteKv)
WINNOW_DISPATCH(Sample)
#undef WINNOW_DISPATCH

}  // namespace winnow::cpu
