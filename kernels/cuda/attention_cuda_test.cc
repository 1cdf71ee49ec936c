#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_testing.h"
#include "kernels/cuda/gated_delta_testing.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::cuda::testing::AttentionSequence;
using ::winnow::cuda::testing::AttentionShape;
using ::winnow::cuda::testing::AttentionStep;
using ::winnow::cuda::testing::DeviceBytes;
using ::winnow::cuda::testing::DeviceTest;
using ::winnow::testing::Identical;
using ::winnow::testing::Near;
using ::winnow::testing::Tolerance;

using AttentionCudaTest = DeviceTest;
using Launch = std::function<cudaError_t(const AttentionArgs&, const AttentionScratch&)>;
using Sequences = std::vector<AttentionSequence>;

// float32 arithmetic; the same and one rounding of the result.
constexpr Tolerance kFloat32 = {.relative = 1e-5, .absolute = 1e-5};
constexpr Tolerance kRoundedOnce = {.relative = 0x1p-8, .absolute = 2e-5};

Tolerance BoundOf(DType dtype) { return dtype == DType::kF32 ? kFloat32 : kRoundedOnce; }

Launch Rows(int32_t blocks) {
  return [=](const AttentionArgs& args, const AttentionScratch& scratch) {
    return LaunchAttentionRows(args, scratch, INT32_MAX, blocks, nullptr);
  };
}
Launch Tiles() {
  return [](const AttentionArgs& args, const AttentionScratch&) {
    return LaunchAttentionTiles(args, 1, nullptr);
  };
}
Launch Whole() {
  return [](const AttentionArgs& args, const AttentionScratch& scratch) {
    return LaunchAttention(args, scratch, nullptr);
  };
}

// The rows of one step, computed with a scratch for so many sequences; the scratch's counters must
// be zero again afterwards, shown by a second launch that gives the same.
std::vector<float> ComputeRows(const AttentionStep& step, const Launch& launch,
                               int64_t scratch_sequences) {
  std::list<DeviceBytes> memory;
  KeptPlan plan;
  const AttentionArgs args = step.Args(
      [&](const std::vector<std::byte>& bytes) {
        return memory.emplace_back(bytes).as<std::byte>();
      },
      &plan);
  const DeviceBytes scratch(std::vector<std::byte>(AttentionScratchBytes(
      scratch_sequences, args.q.dim(1), args.k.dim(1), kMaxAttentionHeadDim)));
  const DeviceBytes& out = *std::find_if(memory.begin(), memory.end(), [&](const DeviceBytes& m) {
    return m.as<void>() == args.out.raw;
  });
  std::vector<std::vector<float>> results;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(cudaSuccess,
              cudaMemcpy(args.out.raw, step.out().data(), out.size(), cudaMemcpyHostToDevice));
    EXPECT_EQ(cudaSuccess,
              launch(args, {scratch.as<std::byte>(), static_cast<int64_t>(scratch.size())}));
    EXPECT_EQ(cudaSuccess, cudaDeviceSynchronize());
    const std::vector<std::byte> bytes = out.Download();
    EXPECT_TRUE(step.GapsIntact(bytes));
    results.push_back(step.Rows(bytes));
  }
  EXPECT_TRUE(Identical(results[1], results[0]));
  return results[0];
}

void ExpectAgrees(const AttentionShape& shape, DType dtype, const Sequences& sequences,
                  const Launch& launch) {
  SCOPED_TRACE(::testing::Message()
               << DTypeName(dtype) << ", " << shape.kv_heads << " x " << shape.group << " heads of "
               << shape.head_dim << ", pages of " << shape.page_tokens << ", span " << shape.span
               << ", buffer " << shape.buffer_size);
  const AttentionStep step(shape, dtype, sequences);
  EXPECT_TRUE(Near(ComputeRows(step, launch, static_cast<int64_t>(sequences.size())),
                   step.Reference(), BoundOf(dtype)));
}

// Windows that are empty, not yet full, just full, long full; a sequence without rows.
Sequences SingleTokens() {
  return {{0, 1, 1},  {1, 1, 2},   {23, 1, 3},  {24, 1, 4}, {25, 1, 5},
          {40, 1, 6}, {700, 1, 7}, {321, 0, 8}, {90, 1, 9}};
}
Sequences Ragged() {
  return {{0, 70, 11},   {5, 1, 12}, {24, 33, 13},   {30, 2, 14},  {60, 0, 15},
          {100, 65, 16}, {0, 1, 17}, {300, 200, 18}, {0, 300, 19}, {24, 1, 20}};
}

// Every width that is compiled, and some between; groups with and without a remainder.
std::vector<AttentionShape> Shapes() {
  return {
      {.kv_heads = 2, .group = 4, .span = kNeverExpires},
      {.kv_heads = 1, .group = 1, .page_tokens = 7, .span = kNeverExpires},
      {.kv_heads = 2, .group = 3, .page_tokens = 5, .span = 24},
      {.kv_heads = 1, .group = 2, .head_dim = 72, .page_tokens = 1, .span = 1},
      {.kv_heads = 2, .group = 4, .span = 25, .buffer_size = 40, .evicts = true},
      {.kv_heads = 2, .group = 4, .span = 300, .buffer_size = 200, .evicts = true},
      {.kv_heads = 1,
       .group = 9,
       .head_dim = 32,
       .page_tokens = 3,
       .span = 25,
       .buffer_size = 5,
       .evicts = true},
      {.kv_heads = 2, .group = 16, .head_dim = 8, .span = 13, .buffer_size = 1, .evicts = true},
      {.kv_heads = 1, .group = 2, .head_dim = 96, .span = 12, .evicts = true},
      {.kv_heads = 3, .group = 1, .head_dim = 128, .span = 30, .buffer_size = 17, .evicts = true},
      {.kv_heads = 1,
       .group = 8,
       .head_dim = 128,
       .page_tokens = 32,
       .span = 64,
       .buffer_size = 64,
       .evicts = true},
      {.kv_heads = 1, .group = 2, .head_dim = 200, .span = 100},
      {.kv_heads = 2, .group = 2, .head_dim = 256, .span = 30, .buffer_size = 17, .evicts = true}};
}

TEST_F(AttentionCudaTest, RowsAgreeWithTheReference) {
  for (const AttentionShape& shape : Shapes()) {
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      for (const int32_t blocks : {1, 3}) {
        ExpectAgrees(shape, dtype, SingleTokens(), Rows(blocks));
        ExpectAgrees(shape, dtype, Ragged(), Rows(blocks));
      }
    }
  }
}

TEST_F(AttentionCudaTest, RowsOfOddHeadsAgree) {
  for (const int64_t head_dim : {1, 4, 18, 130, 250}) {
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      const AttentionShape shape = {.kv_heads = 2,
                                    .group = 3,
                                    .head_dim = head_dim,
                                    .page_tokens = 3,
                                    .span = 25,
                                    .buffer_size = 9,
                                    .evicts = true,
                                    .row_gap = 1};
      ExpectAgrees(shape, dtype, SingleTokens(), Rows(2));
      ExpectAgrees(shape, dtype, Ragged(), Whole());
    }
  }
}

TEST_F(AttentionCudaTest, TilesAgreeWithTheReference) {
  for (const AttentionShape& shape : Shapes()) {
    ExpectAgrees(shape, DType::kBF16, SingleTokens(), Tiles());
    ExpectAgrees(shape, DType::kBF16, Ragged(), Tiles());
  }
}

// Many blocks of keys and many units, more than one multiple of the warps and the most.
TEST_F(AttentionCudaTest, LongListsAgree) {
  const Sequences sequences = {{9000, 1, 31}, {2500, 1, 32}, {1500, 40, 33}, {0, 600, 34}};
  const AttentionShape full = {.kv_heads = 1, .group = 2, .span = kNeverExpires};
  const AttentionShape evicting = {
      .kv_heads = 2, .group = 4, .span = 769, .buffer_size = 512, .evicts = true};
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    ExpectAgrees(full, dtype, sequences, Whole());
    ExpectAgrees(evicting, dtype, sequences, Whole());
  }
}

// A step's single tokens and pieces in both forms, in slots and pages of any order: each sequence
// as if it were alone.
TEST_F(AttentionCudaTest, NeighboursChangeNoBit) {
  const AttentionShape shape = {
      .kv_heads = 2, .group = 4, .span = 300, .buffer_size = 200, .evicts = true};
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const Sequences sequences = Ragged();
    const AttentionStep together(shape, dtype, sequences);
    const std::vector<float> all = ComputeRows(together, Whole(), 100);
    const int64_t row_size = shape.kv_heads * shape.group * shape.head_dim;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const AttentionStep step(shape, dtype, {sequences[i]});
      const std::vector<float> alone = ComputeRows(step, Whole(), 1);
      const auto begin = all.begin() + together.RowBegin(i) * row_size;
      EXPECT_TRUE(Identical({begin, begin + alone.size()}, alone)) << "sequence " << i;
    }
  }
}

// However the units are shared out, also among more warps than there are.
TEST_F(AttentionCudaTest, BlocksChangeNoBit) {
  const AttentionShape shape = {
      .kv_heads = 2, .group = 4, .span = 769, .buffer_size = 512, .evicts = true};
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const AttentionStep step(shape, dtype,
                             {{9000, 1, 41}, {600, 1, 42}, {3, 1, 43}, {2000, 2, 44}});
    const std::vector<float> expected = ComputeRows(step, Rows(1), 4);
    EXPECT_TRUE(Near(expected, step.Reference(), BoundOf(dtype)));
    for (const int32_t blocks : {2, 3, 4, 7, 40}) {
      EXPECT_TRUE(Identical(ComputeRows(step, Rows(blocks), 4), expected)) << blocks << " blocks";
    }
  }
}

TEST_F(AttentionCudaTest, EmptyStep) {
  const AttentionStep step({}, DType::kBF16, {{5, 0, 1}});
  EXPECT_TRUE(ComputeRows(step, Whole(), 1).empty());
}

TEST_F(AttentionCudaTest, RefusesWhatDoesNotFit) {
  const AttentionStep step({}, DType::kBF16, {{5, 3, 1}});
  std::list<DeviceBytes> memory;
  KeptPlan plan;
  const AttentionArgs args = step.Args(
      [&](const std::vector<std::byte>& bytes) {
        return memory.emplace_back(bytes).as<std::byte>();
      },
      &plan);
  const DeviceBytes bytes(std::vector<std::byte>(AttentionScratchBytes(1, 1, 1, 64)));
  const AttentionScratch scratch = {bytes.as<std::byte>(), static_cast<int64_t>(bytes.size())};
  AttentionArgs wide = args;
  wide.pages.head_dim = 512;
  for (TensorView* view : {&wide.q, &wide.k, &wide.v, &wide.out}) view->shape[2] = 512;
  EXPECT_EQ(cudaErrorInvalidValue, LaunchAttention(wide, scratch, nullptr));
  AttentionArgs mixed = args;
  mixed.k.dtype = DType::kF32;
  EXPECT_EQ(cudaErrorInvalidValue, LaunchAttention(mixed, scratch, nullptr));
  AttentionArgs half = args;
  for (TensorView* view : {&half.q, &half.k, &half.v, &half.out}) view->dtype = DType::kF16;
  half.pages.dtype = DType::kF16;
  EXPECT_EQ(cudaErrorInvalidValue, LaunchAttention(half, scratch, nullptr));
  EXPECT_EQ(cudaErrorInvalidValue,
            LaunchAttentionRows(args, {scratch.memory, 1}, INT32_MAX, 2, nullptr));
}

}  // namespace
}  // namespace winnow::cuda
