#include "kernels/cpu/cpu_backend.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "hwy/highway.h"
#include "kernels/check.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/dense.h"
#include "kernels/cpu/departures.h"
#include "kernels/cpu/gated_delta.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/router.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/short_conv.h"
#include "kernels/cpu/state_ops.h"
#include "kernels/cpu/write_kv.h"

namespace winnow::cpu {
namespace {

// The instruction set that the kernels use here: of those that this machine has and that were
// compiled, the best, which has the lowest bit.
const char* InstructionSet() {
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  switch (targets & -targets) {
    case HWY_AVX3:
      return "AVX-512";
    case HWY_SCALAR:
      return "no vector instructions";
    default:
      return hwy::TargetName(targets & -targets);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuBackend>> CpuBackend::Create(const CpuOptions& options) {
  if (options.num_threads < 1 || options.num_threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.num_threads, ", must be in 1..", kMaxThreads));
  }
  try {
    return std::unique_ptr<CpuBackend>(new CpuBackend(options.num_threads));
  } catch (const std::system_error& error) {  // the library's only way to say so
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start ", options.num_threads, " threads: ", error.what()));
  }
}

CpuBackend::CpuBackend(int num_threads)
    : pool_(num_threads),
      description_(absl::StrCat(num_threads, num_threads == 1 ? " thread, " : " threads, ",
                                InstructionSet())) {}

absl::StatusOr<DeviceBuffer> CpuBackend::Allocate(int64_t size_bytes) {
  WINNOW_CHECK(size_bytes >= 0) << size_bytes;
  if (size_bytes == 0) return DeviceBuffer();
  // Populated: what the server promises its sequences it holds from the start, rather than to be
  // killed for it under load.
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
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

absl::Status CpuBackend::Copy(std::byte* to, const std::byte* from, int64_t size_bytes) {
  std::memcpy(to, from, size_bytes);
  return absl::OkStatus();
}

absl::Status CpuBackend::UploadFloats(std::byte* device, DType to, const void* host, DType from,
                                      int64_t count) {
  WINNOW_CHECK(to == from) << DTypeName(from) << " to " << DTypeName(to);
  return Upload(device, host, count * DTypeBytes(to));
}

int64_t CpuBackend::ReservedBytes(const OpLimits&) const { return 0; }

absl::Status CpuBackend::Reserve(const OpLimits&) { return absl::OkStatus(); }

absl::Status CpuBackend::Zero(std::byte* device, int64_t size_bytes) {
  std::memset(device, 0, size_bytes);
  return absl::OkStatus();
}

absl::Status CpuBackend::Synchronize() { return absl::OkStatus(); }

absl::Status CpuBackend::Fence() { return absl::OkStatus(); }

absl::Status CpuBackend::WaitForFence() { return absl::OkStatus(); }

absl::Status CpuBackend::Replay(uint64_t, const std::function<absl::Status()>& issue) {
  return issue();
}

// Nothing is recorded, so nobody can tell keys apart.
uint64_t CpuBackend::NewReplayKey() { return 0; }

void CpuBackend::ForgetReplay(uint64_t) {}

absl::Status CpuBackend::LinearGroup(const LinearGroupArgs& args) {
  WINNOW_CHECK(args.weights.size() == args.outs.size());
  for (size_t i = 0; i < args.weights.size(); ++i) {
    cpu::Linear(pool_, {.x = args.x, .weight = args.weights[i], .out = args.outs[i]});
  }
  return absl::OkStatus();
}

absl::Status CpuBackend::ShortConvGroup(const ShortConvGroupArgs& args) {
  for (const ShortConvArgs& part : args.parts) cpu::ShortConv(pool_, part);
  return absl::OkStatus();
}

absl::Status CpuBackend::CheckDeltaState(const DeltaStateFormat& format) const {
  if (format.dtype == DType::kF32) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a recurrent state in ", DTypeName(format.dtype),
                                                 ": the cpu backend keeps it in F32"));
}

// An op's arguments have a type of their own, so none can reach another's kernel.
#define WINNOW_DISPATCH(Op)                           \
  absl::Status CpuBackend::Op(const Op##Args& args) { \
    cpu::Op(pool_, args);                             \
    return absl::OkStatus();                          \
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
WINNOW_DISPATCH(AdvanceRing)
WINNOW_DISPATCH(RouterScores)
WINNOW_DISPATCH(Departures)
WINNOW_DISPATCH(Attention)
WINNOW_DISPATCH(WriteKv)
WINNOW_DISPATCH(Sample)
WINNOW_DISPATCH(EditTables)
WINNOW_DISPATCH(GatherCounts)
#undef WINNOW_DISPATCH

}  // namespace winnow::cpu
