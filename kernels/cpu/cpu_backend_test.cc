#include "kernels/cpu/cpu_backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/backend.h"
#include "kernels/testing/compare.h"

namespace winnow::cpu {
namespace {

using ::testing::Each;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::unique_ptr<Backend> MustCreate(int num_threads) {
  auto backend = CpuBackend::Create({.num_threads = num_threads});
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

TEST(CpuBackendTest, SaysWhatItIs) {
  EXPECT_EQ(MustCreate(1)->name(), "cpu");
  EXPECT_THAT(std::string(MustCreate(1)->description()), StartsWith("1 thread, "));
  EXPECT_THAT(std::string(MustCreate(3)->description()), StartsWith("3 threads, "));
}

TEST(CpuBackendTest, SaysWhichStatesItKeeps) {
  const auto backend = MustCreate(1);
  EXPECT_TRUE(backend->CheckDeltaState({.key_dim = 7, .value_dim = 5}).ok());
  EXPECT_TRUE(backend->CheckDeltaState({.ring_length = 32, .key_dim = 7, .value_dim = 5}).ok());
  const absl::Status status =
      backend->CheckDeltaState({.dtype = DType::kBF16, .key_dim = 7, .value_dim = 5});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("BF16"));
}

TEST(CpuBackendTest, RefusesAbsurdThreadCounts) {
  for (const int threads : {-1, 0, kMaxThreads + 1}) {
    const auto backend = CpuBackend::Create({.num_threads = threads});
    EXPECT_EQ(backend.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(backend.status().message()), HasSubstr(std::to_string(threads)));
    EXPECT_THAT(std::string(backend.status().message()), HasSubstr("1..1024"));
  }
}

TEST(CpuBackendTest, MemoryIsZeroedAndAligned) {
  const auto backend = MustCreate(1);
  for (const int64_t size : {1, 255, 4097, 1 << 20}) {
    auto buffer = backend->Allocate(size);
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_EQ(buffer->size_bytes(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 256, 0u);
    EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + size,
                            [](std::byte b) { return b == std::byte{0}; }));
    std::memset(buffer->data(), 0xff, size);
  }
}

// All of it is there from the start, not only when it is first written to.
TEST(CpuBackendTest, MemoryIsResident) {
  constexpr int64_t kBytes = 1'000'000;
  const auto backend = MustCreate(1);
  auto buffer = backend->Allocate(kBytes);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  std::vector<unsigned char> pages((kBytes - 1) / sysconf(_SC_PAGESIZE) + 1);
  ASSERT_EQ(mincore(buffer->data(), kBytes, pages.data()), 0);
  EXPECT_THAT(pages, Each(Eq(1)));
}

TEST(CpuBackendTest, NothingNeedsNoMemory) {
  const auto backend = MustCreate(1);
  const auto buffer = backend->Allocate(0);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->size_bytes(), 0);
}

// Far more than any machine has; the message names it.
TEST(CpuBackendTest, RefusesWhatThereIsNot) {
  const auto backend = MustCreate(1);
  const int64_t size = int64_t{1} << 60;
  const auto buffer = backend->Allocate(size);
  EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(buffer.status().message()), HasSubstr(std::to_string(size)));
}

// Nothing is mapped there afterwards.
TEST(CpuBackendTest, FreesWithTheBuffer) {
  const auto backend = MustCreate(1);
  unsigned char page;
  std::byte* memory;
  {
    const auto buffer = backend->Allocate(1);
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    memory = buffer->data();
    ASSERT_EQ(mincore(memory, 1, &page), 0);
  }
  EXPECT_EQ(mincore(memory, 1, &page), -1);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(CpuBackendTest, CopiesAndZeroes) {
  const auto backend = MustCreate(1);
  auto buffer = backend->Allocate(8);
  ASSERT_TRUE(buffer.ok());
  const std::vector<char> from = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<char> to(8, 0);
  ASSERT_TRUE(backend->Upload(buffer->data(), from.data(), 8).ok());
  ASSERT_TRUE(backend->Zero(buffer->data() + 2, 3).ok());
  ASSERT_TRUE(backend->Copy(buffer->data() + 3, buffer->data() + 5, 1).ok());
  ASSERT_TRUE(backend->Download(to.data(), buffer->data(), 8).ok());
  ASSERT_TRUE(backend->Synchronize().ok());
  EXPECT_EQ(to, (std::vector<char>{1, 2, 0, 6, 0, 6, 7, 8}));
}

TEST(CpuBackendTest, OpsReachTheirKernels) {
  const auto backend = MustCreate(2);
  std::vector<float> x = {1, 2, 3, 4}, w = {1, 1, 2, -1}, out(4, testing::kPoison);
  WeightMatrix weight{
      .data = w.data(), .dtype = DType::kF32, .rows = 2, .cols = 2, .bias = nullptr};
  ASSERT_TRUE(backend
                  ->Linear({.x = TensorView::Of(x.data(), DType::kF32, {2, 2}),
                            .weight = weight,
                            .out = TensorView::Of(out.data(), DType::kF32, {2, 2})})
                  .ok());
  EXPECT_TRUE(testing::Identical(out, std::vector<float>{3, 0, 7, 2}));

  const std::vector<int32_t> rows = {1, 0, 1};
  std::vector<float> gathered(6, testing::kPoison);
  ASSERT_TRUE(backend
                  ->GatherRows({.x = TensorView::Of(x.data(), DType::kF32, {2, 2}),
                                .rows = rows.data(),
                                .out = TensorView::Of(gathered.data(), DType::kF32, {3, 2})})
                  .ok());
  EXPECT_TRUE(testing::Identical(gathered, std::vector<float>{3, 4, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace winnow::cpu
