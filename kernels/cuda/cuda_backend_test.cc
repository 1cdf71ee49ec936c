// CudaBackend itself: memory, copies, errors; and that a lost context is said for good.
#include "kernels/cuda/cuda_backend.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/create.h"
#include "kernels/cuda/testing/backends.h"
#include "kernels/cuda/testing/batches.h"
#include "kernels/testing/buffers.h"

namespace winnow::cuda {
namespace {

using ::testing::HasSubstr;

TEST(CudaBackendTest, SaysWhatItIs) {
  EXPECT_EQ(CudaFor(DType::kBF16).name(), "cuda");
  EXPECT_THAT(std::string(CudaFor(DType::kBF16).description()), HasSubstr("bf16"));
  EXPECT_EQ(CudaFor(DType::kBF16).activation_dtype(), DType::kBF16);
  EXPECT_EQ(CudaFor(DType::kF32).matrix_dtype(DType::kF16), DType::kF32);
}

TEST(CudaBackendTest, MemoryIsZeroedAlignedAndCounted) {
  Backend& backend = CudaFor(DType::kF32);
  const int64_t before = *backend.available_bytes();
  {
    auto buffer = backend.Allocate(100'001);
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 256, 0u);
    EXPECT_EQ(*backend.available_bytes(), before - 100'001);
    std::vector<std::byte> bytes(100'001, std::byte{7});
    ASSERT_TRUE(backend.Download(bytes.data(), buffer->data(), 100'001).ok());
    ASSERT_TRUE(backend.Synchronize().ok());
    EXPECT_EQ(bytes, std::vector<std::byte>(100'001));
  }
  EXPECT_EQ(*backend.available_bytes(), before);
}

TEST(CudaBackendTest, RefusesMoreThanTheBudget) {
  Backend& backend = CudaFor(DType::kF32);
  const int64_t size = *backend.available_bytes() + 1;
  const auto buffer = backend.Allocate(size);
  EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(buffer.status().message()), HasSubstr(std::to_string(size)));
}

TEST(CudaBackendTest, RefusesAFractionThatIsNone) {
  for (const double fraction : {0.0, -1.0, 1.5}) {
    const auto backend = CreateCudaBackend({.memory_fraction = fraction});
    EXPECT_EQ(backend.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(CudaBackendTest, NamesALibraryThatIsNotThere) {
  const auto backend =
      CreateCudaBackend({.memory_fraction = 0.05, .cublaslt = "/nowhere/libcublasLt.so.13"});
  EXPECT_EQ(backend.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(backend.status().message()), HasSubstr("/nowhere/libcublasLt.so.13"));
  EXPECT_THAT(std::string(backend.status().message()), HasSubstr("--cublaslt"));
}

// More than the pinned buffers hold, with work in between.
TEST(CudaBackendTest, CopiesOfAnySizeKeepTheirOrder) {
  Backend& backend = CudaFor(DType::kF32);
  constexpr int64_t kFloats = (int64_t{40} << 20) / 4;
  const std::vector<float> values = winnow::testing::RandomFloats(kFloats, 1);
  const TestArray<float> array(backend, values);
  EXPECT_EQ(array.Read(), values);
  std::vector<std::vector<int32_t>> out(3000, std::vector<int32_t>(500));
  const TestArray<int32_t> counter(backend, std::vector<int32_t>(500));
  for (int32_t i = 0; i < 3000; ++i) {
    const std::vector<int32_t> in(500, i);
    ASSERT_TRUE(backend.Upload(counter.bytes(), in.data(), 2000).ok());
    ASSERT_TRUE(backend.Download(out[i].data(), counter.bytes(), 2000).ok());
  }
  ASSERT_TRUE(backend.Synchronize().ok());
  for (int32_t i = 0; i < 3000; ++i) EXPECT_EQ(out[i], std::vector<int32_t>(500, i));
}

// Downloads are valid after the fence behind them, while those behind it still wait: over and over,
// with more than the buffers hold, and with a wait for everything in between.
TEST(CudaBackendTest, FencesDeliverWhatIsBeforeThem) {
  Backend& backend = CudaFor(DType::kF32);
  ASSERT_TRUE(backend.asynchronous());
  constexpr int64_t kInts = 700'000;  // 2.8 MB: a fence has up to 4 of them, a half holds 2
  const TestArray<int32_t> counter(backend, std::vector<int32_t>(kInts));
  std::vector<std::vector<std::vector<int32_t>>> out(40);
  const auto issue = [&](int32_t step) {
    const std::vector<int32_t> in(kInts, step);
    ASSERT_TRUE(backend.Upload(counter.bytes(), in.data(), kInts * 4).ok());
    out[step].assign(step % 5, std::vector<int32_t>(kInts, -1));
    for (std::vector<int32_t>& to : out[step]) {
      ASSERT_TRUE(backend.Download(to.data(), counter.bytes(), kInts * 4).ok());
    }
    ASSERT_TRUE(backend.Fence().ok());
  };
  issue(0);
  for (int32_t step = 1; step < 40; ++step) {
    issue(step);
    if (step % 7 == 0) {
      ASSERT_TRUE(backend.Synchronize().ok());
    }
    ASSERT_TRUE(backend.WaitForFence().ok());
    for (const auto& values : out[step - 1]) {
      ASSERT_EQ(values, std::vector<int32_t>(kInts, step - 1));
    }
  }
  ASSERT_TRUE(backend.WaitForFence().ok());
  for (const auto& values : out[39]) ASSERT_EQ(values, std::vector<int32_t>(kInts, 39));
}

TEST(CudaBackendTest, UploadFloatsConverts) {
  Backend& backend = CudaFor(DType::kBF16);
  const std::vector<float> values = winnow::testing::RandomFloats(5001, 2, -1e30, 1e30);
  const TestTensor out(backend, DType::kBF16, {5001});
  ASSERT_TRUE(backend
                  .UploadFloats(static_cast<std::byte*>(out.view().raw), DType::kBF16,
                                values.data(), DType::kF32, 5001)
                  .ok());
  const std::vector<float> read = out.Read();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(read[i], ToFloat(ToBF16(values[i])));

  const std::vector<F16> halves = {{0x0000}, {0x8001}, {0x3c00}, {0xfbff}, {0x03ff}};
  Backend& f32 = CudaFor(DType::kF32);
  const TestTensor wide(f32, DType::kF32, {5});
  ASSERT_TRUE(f32.UploadFloats(static_cast<std::byte*>(wide.view().raw), DType::kF32, halves.data(),
                               DType::kF16, 5)
                  .ok());
  for (size_t i = 0; i < halves.size(); ++i) EXPECT_EQ(wide.Read()[i], ToFloat(halves[i]));
}

TEST(CudaBackendTest, EditsTablesAndGathersCounts) {
  Backend& backend = CudaFor(DType::kF32);
  const TestArray<int32_t> tables(backend, {1, 2, 3, 4, 5});
  const TestArray<TableEdit> edits(backend, {{.entry = 3, .page = 9}, {.entry = 0, .page = 7}});
  ASSERT_TRUE(
      backend.EditTables({.tables = tables.data(), .edits = edits.data(), .num_edits = 2}).ok());
  EXPECT_EQ(tables.Read(), (std::vector<int32_t>{7, 2, 3, 9, 5}));

  constexpr int kFields = 70;  // more than one launch takes
  std::vector<int32_t> memory(3 * 3 * kFields);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<int32_t>(i);
  const TestArray<int32_t> slots(backend, memory);
  const TestBatch batch(backend, {{.slot = 2}, {.slot = 1}});
  GatherCountsArgs args = {.batch = batch.view(), .count = 3};
  for (int f = 0; f < kFields; ++f) {
    args.fields.push_back({.base = slots.bytes() + f * 12, .slot_stride_bytes = 3 * kFields * 4});
  }
  const TestArray<int32_t> out(backend, std::vector<int32_t>(2 * 3 * kFields, -1));
  args.out = out.data();
  ASSERT_TRUE(backend.GatherCounts(args).ok());
  const std::vector<int32_t> counts = out.Read();
  for (int i = 0; i < 3 * kFields; ++i) {
    EXPECT_EQ(counts[i], 2 * 3 * kFields + i);
    EXPECT_EQ(counts[3 * kFields + i], 3 * kFields + i);
  }
}

// Writes keys to a place without a page, which traps, and checks what is said from then on.
void LoseTheContext() {
  Backend& backend = CudaFor(DType::kF32);
  TestPagesShape shape = {.page_tokens = 4, .head_dim = 8, .ring_tokens = 4, .ring_capacity = 4};
  const TestPages pages(backend, shape, 1, 1);
  const TestArray<int32_t> no_pages(backend, std::vector<int32_t>(2, 0));
  const TestBatch batch(backend, {{.slot = 1}});
  const TestTensor k(backend, DType::kF32, {1, 1, 8}, std::vector<float>(8));
  WriteKvArgs args = {.batch = batch.view(), .k = k, .v = k, .pages = pages.view()};
  args.pages.tables = no_pages.data();
  absl::Status status = backend.WriteKv(args);
  status.Update(backend.Synchronize());
  const bool lost = absl::IsDataLoss(status) && absl::IsDataLoss(backend.Synchronize()) &&
                    absl::IsDataLoss(backend.WriteKv(args));
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::_Exit(lost ? 0 : 1);
}

// In a process of its own, since the context is of no use afterwards.
TEST(CudaBackendDeathTest, SaysThatTheContextIsLost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(LoseTheContext(), ::testing::ExitedWithCode(0), "CUDA: ");
}

}  // namespace
}  // namespace winnow::cuda
