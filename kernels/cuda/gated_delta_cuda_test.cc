#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/gated_delta_testing.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::cuda::testing::DeltaInputs;
using ::winnow::cuda::testing::DeltaLaunch;
using ::winnow::cuda::testing::DeltaLayer;
using ::winnow::cuda::testing::DeltaMemory;
using ::winnow::cuda::testing::DeltaPiece;
using ::winnow::cuda::testing::DeltaReference;
using ::winnow::cuda::testing::DeltaResult;
using ::winnow::cuda::testing::DeltaShape;
using ::winnow::cuda::testing::DeviceBytes;
using ::winnow::cuda::testing::DeviceTest;
using ::winnow::cuda::testing::RandomDeltaInputs;
using ::winnow::cuda::testing::RandomDeltaLayer;
using ::winnow::cuda::testing::RelativeError;
using ::winnow::cuda::testing::RunDelta;
using ::winnow::cuda::testing::RunDeltaStep;
using ::winnow::testing::Identical;

using GatedDeltaCudaTest = DeviceTest;

// Norm of the error over that of the reference, in float64.
constexpr double kFloat32 = 1e-5;
constexpr double kRoundedOnce = 3e-3;  // a bf16 output of float32 arithmetic
constexpr double kBF16Operands = 1e-2;

DeltaLaunch Recurrent(DeltaRows rows = {}) {
  return [=](const GatedDeltaArgs& args) { return LaunchGatedDeltaRecurrent(args, rows, nullptr); };
}

DeltaLaunch Chunked(DeltaRows rows = {}) {
  return [=](const GatedDeltaArgs& args) {
    const DeviceBytes scratch(GatedDeltaChunkedScratchBytes(
        args.batch.num_tokens, args.batch.num_sequences, args.v.dim(1)));
    const cudaError_t error = LaunchGatedDeltaChunked(args, scratch.as<std::byte>(), rows, nullptr);
    cudaDeviceSynchronize();
    return error;
  };
}

void ExpectAgrees(const std::vector<float>& out, const DeltaInputs& after,
                  const DeltaResult& expected, double out_bound, double state_bound) {
  EXPECT_LE(RelativeError(out, expected.out), out_bound);
  EXPECT_LE(RelativeError(after.state, expected.state), state_bound);
}

constexpr DeltaShape kShapes[] = {
    {.key_heads = 1, .value_heads = 1, .key_dim = 1, .value_dim = 1},
    {.key_heads = 2, .value_heads = 2, .key_dim = 16, .value_dim = 16},
    {.key_heads = 1, .value_heads = 2, .key_dim = 17, .value_dim = 37},
    {.key_heads = 2, .value_heads = 6, .key_dim = 24, .value_dim = 48},
    {.key_heads = 1, .value_heads = 1, .key_dim = 64, .value_dim = 129},
    {.key_heads = 1, .value_heads = 3, .key_dim = 32, .value_dim = 40},
    {.key_heads = 2, .value_heads = 4, .key_dim = 64, .value_dim = 8},
    {.key_heads = 1, .value_heads = 2, .key_dim = 128, .value_dim = 136},
    {.key_heads = 1, .value_heads = 1, .key_dim = 192, .value_dim = 64},
    {.key_heads = 2, .value_heads = 2, .key_dim = 256, .value_dim = 256},
    {.key_heads = 1, .value_heads = 1, .key_dim = 600, .value_dim = 40},
};

TEST_F(GatedDeltaCudaTest, RecurrentAgreesWithTheReference) {
  for (const DeltaShape& shape : kShapes) {
    for (const float beta_scale : {1.0f, 2.0f}) {
      const DeltaLayer layer = RandomDeltaLayer(shape, beta_scale, 11);
      for (const int64_t num_rows : {1, 2, 7, 70}) {
        for (const int64_t gap : {8, 1}) {  // aligned rows and others
          SCOPED_TRACE(::testing::Message()
                       << num_rows << " rows, beta scale " << beta_scale << ", gap " << gap << ", "
                       << shape.value_heads << " x " << shape.key_dim << " x " << shape.value_dim);
          DeltaInputs s = RandomDeltaInputs(shape, DType::kF32, num_rows, 100 + num_rows);
          const DeltaResult expected = DeltaReference(layer, s);
          const DeltaMemory memory{.row_gap = gap, .slot_gap = gap == 1 ? 3 : 4};
          const std::vector<float> out = RunDelta(layer, memory, s, {num_rows}, Recurrent());
          ExpectAgrees(out, s, expected, kFloat32, kFloat32);
        }
      }
    }
  }
}

TEST_F(GatedDeltaCudaTest, RecurrentOfBF16InputsAgrees) {
  for (const DeltaShape& shape : kShapes) {
    const DeltaLayer layer = RandomDeltaLayer(shape, 2, 12);
    DeltaInputs s = RandomDeltaInputs(shape, DType::kBF16, 20, 120);
    const DeltaResult expected = DeltaReference(layer, s);
    const std::vector<float> out = RunDelta(layer, {}, s, {1, 2, 17}, Recurrent());
    ExpectAgrees(out, s, expected, kRoundedOnce, kFloat32);
  }
}

// S rounded to bf16 after every row: the error of one rounding per row, decaying with S.
TEST_F(GatedDeltaCudaTest, RecurrentWithBF16StateAgrees) {
  for (const DeltaShape& shape : kShapes) {
    const DeltaLayer layer = RandomDeltaLayer(shape, 1, 13);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const int64_t gap : {8, 1}) {
        DeltaInputs s = RandomDeltaInputs(shape, dtype, 4, 130);
        s.state = testing::ToFloats(testing::ToBytes(s.state, DType::kBF16), DType::kBF16);
        const DeltaResult expected = DeltaReference(layer, s);
        const DeltaMemory memory{
            .state_dtype = DType::kBF16, .row_gap = gap, .slot_gap = gap == 1 ? 3 : 8};
        const std::vector<float> out = RunDelta(layer, memory, s, {1}, Recurrent());
        ExpectAgrees(out, s, expected, kBF16Operands, kBF16Operands);
      }
    }
  }
}

constexpr DeltaShape kChunkedShapes[] = {
    {.key_heads = 1, .value_heads = 1, .key_dim = 64, .value_dim = 64},
    {.key_heads = 2, .value_heads = 4, .key_dim = 128, .value_dim = 192},
    {.key_heads = 1, .value_heads = 2, .key_dim = 256, .value_dim = 128},
    {.key_heads = 2, .value_heads = 2, .key_dim = 256, .value_dim = 256},
    {.key_heads = 1, .value_heads = 3, .key_dim = 64, .value_dim = 256},
};

TEST_F(GatedDeltaCudaTest, ChunkedAgreesWithTheReference) {
  double worst_out = 0, worst_state = 0;
  for (const DeltaShape& shape : kChunkedShapes) {
    for (const float beta_scale : {1.0f, 2.0f}) {
      const DeltaLayer layer = RandomDeltaLayer(shape, beta_scale, 14);
      for (const int64_t num_rows : {1, 2, 15, 16, 17, 33, 63, 64, 65, 127, 128, 129, 300}) {
        SCOPED_TRACE(::testing::Message()
                     << num_rows << " rows, beta scale " << beta_scale << ", " << shape.value_heads
                     << " x " << shape.key_dim << " x " << shape.value_dim);
        DeltaInputs s = RandomDeltaInputs(shape, DType::kBF16, num_rows, 140 + num_rows);
        const DeltaResult expected = DeltaReference(layer, s);
        const std::vector<float> out = RunDelta(layer, {}, s, {num_rows}, Chunked());
        ExpectAgrees(out, s, expected, kBF16Operands, kBF16Operands);
        worst_out = std::max(worst_out, RelativeError(out, expected.out));
        worst_state = std::max(worst_state, RelativeError(s.state, expected.state));
      }
    }
  }
  RecordProperty("worst_out_error", ::testing::PrintToString(worst_out));
  RecordProperty("worst_state_error", ::testing::PrintToString(worst_state));
}

// S in bf16 is rounded after every piece: as often as the recurrence with such a state rounds it
// after its rows.
TEST_F(GatedDeltaCudaTest, ChunkedWithBF16StateAgrees) {
  for (const DeltaShape& shape : kChunkedShapes) {
    const DeltaLayer layer = RandomDeltaLayer(shape, 1, 15);
    for (const std::vector<int64_t>& sizes :
         {std::vector<int64_t>{150}, std::vector<int64_t>{64, 1, 63, 22}}) {
      SCOPED_TRACE(::testing::Message() << sizes.size() << " pieces, " << shape.value_heads << " x "
                                        << shape.key_dim << " x " << shape.value_dim);
      DeltaInputs s = RandomDeltaInputs(shape, DType::kBF16, 150, 160);
      s.state = testing::ToFloats(testing::ToBytes(s.state, DType::kBF16), DType::kBF16);
      const DeltaResult expected = DeltaReference(layer, s);
      const DeltaMemory memory{.state_dtype = DType::kBF16, .slot_gap = 8};
      const std::vector<float> out = RunDelta(layer, memory, s, sizes, Chunked());
      ExpectAgrees(out, s, expected, kBF16Operands, kBF16Operands);
    }
  }
}

TEST_F(GatedDeltaCudaTest, AnySplitIntoStepsAgrees) {
  const DeltaShape shape{.key_heads = 2, .value_heads = 4, .key_dim = 128, .value_dim = 128};
  const DeltaLayer layer = RandomDeltaLayer(shape, 2, 21);
  for (const int64_t first_position : {int64_t{0}, int64_t{13}, (int64_t{1} << 40) + 63}) {
    DeltaInputs start = RandomDeltaInputs(shape, DType::kBF16, 200, 22);
    start.first_position = first_position;
    const DeltaResult expected = DeltaReference(layer, start);
    const std::vector<std::vector<int64_t>> splits = {{200},    {7},      {63, 1, 64, 65, 7},
                                                      {1, 199}, {199, 1}, {3, 40, 1, 1, 100, 2}};
    for (const std::vector<int64_t>& sizes : splits) {
      DeltaInputs s = start;
      const std::vector<float> out = RunDelta(layer, {}, s, sizes, Chunked());
      ExpectAgrees(out, s, expected, kBF16Operands, kBF16Operands);
    }
  }
}

// Pieces cut at multiples of the chunk size are the same arithmetic as the whole.
TEST_F(GatedDeltaCudaTest, PiecesOfWholeChunksGiveTheSameBits) {
  const DeltaShape shape{.key_heads = 1, .value_heads = 2, .key_dim = 256, .value_dim = 64};
  const DeltaLayer layer = RandomDeltaLayer(shape, 1, 23);
  DeltaInputs start = RandomDeltaInputs(shape, DType::kBF16, 256, 24);
  start.first_position = 650;
  DeltaInputs whole = start, pieces = start;
  const std::vector<float> out = RunDelta(layer, {}, whole, {256}, Chunked());
  EXPECT_TRUE(Identical(RunDelta(layer, {}, pieces, {54, 128, 64, 10}, Chunked()), out));
  EXPECT_TRUE(Identical(pieces.state, whole.state));
}

// A step's short and long sequences in both forms, in slots of any order: each sequence as if it
// were alone. There are enough of them that blocks hold two warpgroups, alone one.
TEST_F(GatedDeltaCudaTest, NeighboursChangeNoBit) {
  const DeltaShape shape{.key_heads = 2, .value_heads = 4, .key_dim = 128, .value_dim = 256};
  const DeltaLayer layer = RandomDeltaLayer(shape, 2, 31);
  const std::vector<int64_t> lengths = {1, 0, 200, 1, 64, 63, 2, 0, 17, 65, 1, 16, 33};
  const DeltaLaunch both = [](const GatedDeltaArgs& args) {
    const DeviceBytes scratch(GatedDeltaChunkedScratchBytes(
        args.batch.num_tokens, args.batch.num_sequences, args.v.dim(1)));
    const cudaError_t error = LaunchGatedDelta(args, scratch.as<std::byte>(), nullptr);
    cudaDeviceSynchronize();
    return error;
  };
  std::vector<DeltaInputs> alone, together;
  std::vector<std::vector<float>> alone_out, outs(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    alone.push_back(RandomDeltaInputs(shape, DType::kBF16, lengths[i], 1000 + 10 * i));
    alone.back().first_position = 5 * i;
  }
  together = alone;
  std::vector<DeltaPiece> pieces;
  for (size_t i = 0; i < lengths.size(); ++i) {
    alone_out.push_back(RunDelta(layer, {}, alone[i], {200}, both));
    pieces.push_back({&together[i], 0, lengths[i], &outs[i]});
  }
  RunDeltaStep(layer, {}, pieces, both);
  for (size_t i = 0; i < lengths.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << lengths[i] << " rows");
    EXPECT_TRUE(Identical(outs[i], alone_out[i]));
    EXPECT_TRUE(Identical(together[i].state, alone[i].state));
  }
}

// Gates from none to complete forgetting, changing from row to row: nothing overflows.
TEST_F(GatedDeltaCudaTest, ExtremeDecaysAgreeWithTheReference) {
  const DeltaShape shape{.key_heads = 2, .value_heads = 4, .key_dim = 64, .value_dim = 64};
  DeltaLayer layer = RandomDeltaLayer(shape, 2, 41);
  layer.a_log = {12, 5, -20, 80};
  layer.dt_bias = {0, -3, 0, 20};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    DeltaInputs start = RandomDeltaInputs(shape, dtype, 150, 42);
    std::mt19937 rng(43);
    for (float& a : start.a) {
      constexpr float kExtremes[] = {-60, -30, -9, 0, 8, 90};
      a = kExtremes[rng() % 6];
    }
    for (float& b : start.b) b = rng() % 3 == 0 ? 100 : b * 10;
    start.Round();
    const DeltaResult expected = DeltaReference(layer, start);
    DeltaInputs s = start;
    const std::vector<float> out = RunDelta(layer, {}, s, {150}, Recurrent());
    ExpectAgrees(out, s, expected, dtype == DType::kF32 ? kFloat32 : kRoundedOnce, kFloat32);
    if (dtype != DType::kBF16) continue;
    s = start;
    const std::vector<float> chunked = RunDelta(layer, {}, s, {150}, Chunked());
    ExpectAgrees(chunked, s, expected, kBF16Operands, kBF16Operands);
  }
}

// Repeated keys and beta near 2 make the triangular system as hard as it gets: every rounding comes
// back many times. The chunked form rounds S once per chunk (and more beside it); it must not do
// much worse than the recurrence with S in bf16, which rounds it after every row.
TEST_F(GatedDeltaCudaTest, RepeatedKeysCostLittleAccuracy) {
  const DeltaShape shape{.key_heads = 1, .value_heads = 1, .key_dim = 64, .value_dim = 64};
  DeltaLayer layer = RandomDeltaLayer(shape, 2, 51);
  layer.a_log = {-12};  // hardly any decay
  DeltaInputs start = RandomDeltaInputs(shape, DType::kBF16, 192, 52);
  for (int64_t t = 1; t < 192; ++t) {
    if (t % 5 != 0) std::copy_n(&start.k[0], 64, &start.k[t * 64]);
    start.b[t] = t % 3 == 0 ? 8 : 1;
  }
  const DeltaResult expected = DeltaReference(layer, start);
  DeltaInputs s = start;
  const std::vector<float> out = RunDelta(layer, {}, s, {192}, Recurrent());
  ExpectAgrees(out, s, expected, kRoundedOnce, kFloat32);

  DeltaInputs rounded = start, chunked = start;
  const std::vector<float> rounded_out =
      RunDelta(layer, {.state_dtype = DType::kBF16, .slot_gap = 8}, rounded, {192}, Recurrent());
  const std::vector<float> chunked_out = RunDelta(layer, {}, chunked, {192}, Chunked());
  ExpectAgrees(chunked_out, chunked, expected, 1.5 * RelativeError(rounded_out, expected.out),
               1.5 * RelativeError(rounded.state, expected.state));
  RecordProperty("chunked_out_error",
                 ::testing::PrintToString(RelativeError(chunked_out, expected.out)));
}

// A fault must reach the outputs of its own sequence, from any input, and no other.
TEST_F(GatedDeltaCudaTest, NaNStaysInItsSequenceAndIsNotLost) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const DeltaShape shape{.key_heads = 1, .value_heads = 1, .key_dim = 64, .value_dim = 64};
  const DeltaLayer layer = RandomDeltaLayer(shape, 1, 71);
  for (const DeltaLaunch& launch : {Recurrent(), Chunked()}) {
    for (std::vector<float> DeltaInputs::*input :
         {&DeltaInputs::q, &DeltaInputs::k, &DeltaInputs::v, &DeltaInputs::a, &DeltaInputs::b}) {
      DeltaInputs well = RandomDeltaInputs(shape, DType::kBF16, 20, 73), sick = well, also = well;
      std::vector<float>& values = sick.*input;
      values[17 * (values.size() / 20)] = kNaN;
      std::vector<float> sick_out, well_out, also_out;
      RunDeltaStep(
          layer, {},
          {{&well, 0, 20, &well_out}, {&sick, 0, 20, &sick_out}, {&also, 0, 20, &also_out}},
          launch);
      const auto is_nan = [](float x) { return std::isnan(x); };
      EXPECT_TRUE(std::any_of(sick_out.begin() + 17 * 64, sick_out.begin() + 18 * 64, is_nan));
      EXPECT_TRUE(std::none_of(well_out.begin(), well_out.end(), is_nan));
      EXPECT_TRUE(std::none_of(also_out.begin(), also_out.end(), is_nan));
    }
  }
}

// Gates in float32 beside bf16 rows.
TEST_F(GatedDeltaCudaTest, TakesFloat32Gates) {
  const DeltaShape shape{.key_heads = 1, .value_heads = 2, .key_dim = 64, .value_dim = 64};
  const DeltaLayer layer = RandomDeltaLayer(shape, 1, 75);
  for (const DeltaLaunch& launch : {Recurrent(), Chunked()}) {
    DeltaInputs narrow = RandomDeltaInputs(shape, DType::kBF16, 30, 76), wide = narrow;
    const std::vector<float> expected = RunDelta(layer, {}, narrow, {30}, launch);
    const DeviceBytes a(wide.a), b(wide.b);
    const std::vector<float> out = RunDelta(layer, {}, wide, {30}, [&](GatedDeltaArgs args) {
      args.a = TensorView::Of(a.as<void>(), DType::kF32, {30, 2});
      args.b = TensorView::Of(b.as<void>(), DType::kF32, {30, 2});
      return launch(args);
    });
    EXPECT_TRUE(Identical(out, expected));
    EXPECT_TRUE(Identical(wide.state, narrow.state));
  }
}

TEST_F(GatedDeltaCudaTest, EmptyStep) {
  const DeltaShape shape{.key_heads = 1, .value_heads = 2, .key_dim = 64, .value_dim = 64};
  const DeltaLayer layer = RandomDeltaLayer(shape, 1, 81);
  for (const DeltaLaunch& launch : {Recurrent(), Chunked()}) {
    DeltaInputs empty = RandomDeltaInputs(shape, DType::kBF16, 0, 82);
    const std::vector<float> state = empty.state;
    std::vector<float> out;
    RunDeltaStep(layer, {}, {{&empty, 0, 0, &out}}, launch);
    EXPECT_TRUE(Identical(empty.state, state));
  }
}

TEST_F(GatedDeltaCudaTest, RefusesWhatDoesNotFit) {
  const DeltaShape shape{.key_heads = 1, .value_heads = 2, .key_dim = 64, .value_dim = 64};
  const DeltaLayer layer = RandomDeltaLayer(shape, 1, 91);
  DeltaInputs s = RandomDeltaInputs(shape, DType::kF32, 3, 92);
  std::vector<float> out;
  RunDeltaStep(layer, {}, {{&s, 0, 3, &out}}, [](GatedDeltaArgs args) {
    EXPECT_FALSE(CanLaunchGatedDeltaChunked(args));
    EXPECT_EQ(cudaErrorInvalidValue, LaunchGatedDeltaChunked(args, nullptr, {}, nullptr));
    EXPECT_FALSE(CanLaunchGatedDeltaRing(args));
    EXPECT_EQ(cudaErrorInvalidValue, LaunchGatedDeltaRing(args, nullptr));
    args.state_dtype = DType::kF16;
    EXPECT_EQ(cudaErrorInvalidValue, LaunchGatedDeltaRecurrent(args, {}, nullptr));
    args.state_dtype = DType::kF32;
    args.q.dtype = DType::kBF16;
    EXPECT_EQ(cudaErrorInvalidValue, LaunchGatedDeltaRecurrent(args, {}, nullptr));
    args.q.dtype = DType::kF32;
    args.b.shape[1] = 1;
    EXPECT_EQ(cudaErrorInvalidValue, LaunchGatedDeltaRecurrent(args, {}, nullptr));
    return cudaSuccess;
  });
}

}  // namespace
}  // namespace winnow::cuda
