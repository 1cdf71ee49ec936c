// The ring form of the gated delta rule, token by token, against the definition in float64.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/check.h"
#include "kernels/cuda/gated_delta.h"
#include "kernels/cuda/gated_delta_testing.h"
#include "kernels/cuda/state_kernels.h"
#include "kernels/testing/compare.h"

namespace winnow::cuda {
namespace {

using ::winnow::cuda::testing::DeltaInputs;
using ::winnow::cuda::testing::DeltaLayer;
using ::winnow::cuda::testing::DeltaReference;
using ::winnow::cuda::testing::DeltaResult;
using ::winnow::cuda::testing::DeltaShape;
using ::winnow::cuda::testing::DeviceBytes;
using ::winnow::cuda::testing::DeviceTest;
using ::winnow::cuda::testing::RandomDeltaInputs;
using ::winnow::cuda::testing::RandomDeltaLayer;
using ::winnow::cuda::testing::RelativeError;
using ::winnow::cuda::testing::ToBytes;
using ::winnow::cuda::testing::ToFloats;
using ::winnow::testing::Identical;
using ::winnow::testing::kPoison;

using GatedDeltaRingTest = DeviceTest;

constexpr double kFloat32 = 1e-5;
constexpr double kRoundedOnce = 3e-3;  // a bf16 output of float32 arithmetic

void CheckCuda(cudaError_t error) {
  WINNOW_CHECK(error == cudaSuccess) << cudaGetErrorString(error);
}

// Sequences whose state and rings stay in device memory from step to step, S and the ring's fields
// side by side in a slot. Slots 0 and between theirs belong to nobody.
class RingSlots {
 public:
  RingSlots(const DeltaLayer& layer, const std::vector<DeltaInputs>& sequences, int32_t length)
      : layer_(layer),
        sequences_(sequences),
        length_(length),
        values_(layer.shape.state_size() + 4),
        decays_(values_ + length * layer.shape.value_heads * layer.shape.value_dim + 4),
        keys_(decays_ + RoundUp(length * layer.shape.value_heads) + 4),
        slot_floats_(keys_ + RoundUp(length * layer.shape.key_heads * layer.shape.key_dim) + 4),
        slots_(ToBytes(InitialSlots(), DType::kF32)),
        slot_counts_(std::vector<int32_t>(num_slots(), 0)),
        outs_(sequences.size()),
        next_(sequences.size(), 0) {}

  // One token of every sequence that has one and that `takes_part`.
  template <typename TakesPart>
  void Step(TakesPart takes_part) {
    const DeltaShape& n = layer_.shape;
    std::vector<int32_t> offsets = {0}, slots;
    std::vector<float> q, k, v, a, b;
    const auto append = [](std::vector<float>& to, const std::vector<float>& from, int64_t row,
                           int64_t size) {
      to.insert(to.end(), from.begin() + row * size, from.begin() + (row + 1) * size);
    };
    std::vector<size_t> members;
    for (size_t i = 0; i < sequences_.size(); ++i) {
      const DeltaInputs& s = sequences_[i];
      const int64_t row = next_[i];
      const bool present = row < s.num_rows && takes_part(i);
      if (present) {
        append(q, s.q, row, n.key_heads * n.key_dim);
        append(k, s.k, row, n.key_heads * n.key_dim);
        append(v, s.v, row, n.value_heads * n.value_dim);
        append(a, s.a, row, n.value_heads);
        append(b, s.b, row, n.value_heads);
        members.push_back(i);
        ++next_[i];
      }
      offsets.push_back(offsets.back() + present);
      slots.push_back(SlotOf(i));
    }
    const int64_t num_tokens = offsets.back();
    const DeviceBytes d_q(ToBytes(q, dtype())), d_k(ToBytes(k, dtype())), d_v(ToBytes(v, dtype()));
    const DeviceBytes d_a(ToBytes(a, dtype())), d_b(ToBytes(b, dtype()));
    const DeviceBytes d_out(ToBytes(std::vector<float>(v.size(), kPoison), dtype()));
    const DeviceBytes d_offsets(offsets), d_slots(slots), a_log(layer_.a_log),
        dt_bias(layer_.dt_bias);
    GatedDeltaArgs args = Args(num_tokens, d_offsets, d_slots, a_log, dt_bias);
    args.q.raw = d_q.as<void>();
    args.k.raw = d_k.as<void>();
    args.v.raw = d_v.as<void>();
    args.a.raw = d_a.as<void>();
    args.b.raw = d_b.as<void>();
    args.out.raw = d_out.as<void>();
    RunWithRing(args,
                [](const GatedDeltaArgs& args) { return LaunchGatedDeltaRing(args, nullptr); });
    const std::vector<float> out = ToFloats(d_out.Download(), dtype());
    const int64_t row_size = n.value_heads * n.value_dim;
    for (size_t m = 0; m < members.size(); ++m) append(outs_[members[m]], out, m, row_size);
  }

  // As before pieces of two rows of those that `takes_part`, and of one row of the others. (The
  // rows themselves are not looked at.)
  template <typename TakesPart>
  void Fold(TakesPart takes_part) {
    std::vector<int32_t> slots, offsets = {0};
    for (size_t i = 0; i < sequences_.size(); ++i) {
      slots.push_back(SlotOf(i));
      offsets.push_back(offsets.back() + (takes_part(i) ? 2 : 1));
    }
    const DeviceBytes d_offsets(offsets), d_slots(slots);
    RunWithRing(Args(0, d_offsets, d_slots, d_offsets, d_offsets), [](const GatedDeltaArgs& args) {
      return LaunchGatedDeltaFold(args, {.least = 2}, nullptr);
    });
  }

  // The number of entries.
  int32_t Count(size_t i) const {
    const std::vector<std::byte> all = slot_counts_.Download();
    int32_t count = 0;
    std::memcpy(&count, all.data() + SlotOf(i) * sizeof(count), sizeof(count));
    return count;
  }
  std::vector<float> State(size_t i) const {
    const std::vector<float> all = ToFloats(slots_.Download(), DType::kF32);
    const auto begin = all.begin() + SlotOf(i) * slot_floats_;
    return {begin, begin + layer_.shape.state_size()};
  }
  const std::vector<float>& out(size_t i) const { return outs_[i]; }

  // What stands beside the sequences' states and entries is as it was.
  bool NothingElseWritten() const {
    std::vector<float> after = ToFloats(slots_.Download(), DType::kF32);
    const std::vector<float> before = InitialSlots();
    for (size_t i = 0; i < sequences_.size(); ++i) {
      const int64_t begin = SlotOf(i) * slot_floats_;
      for (const auto& [first, end] : {std::pair<int64_t, int64_t>{0, values_},
                                       {values_, decays_},
                                       {decays_, keys_},
                                       {keys_, slot_floats_}}) {
        std::copy_n(before.begin() + begin + first, end - 4 - first, after.begin() + begin + first);
      }
    }
    return std::memcmp(after.data(), before.data(), after.size() * sizeof(float)) == 0;
  }

 private:
  static int32_t SlotOf(size_t i) { return static_cast<int32_t>(2 * i + 1); }
  DType dtype() const { return sequences_[0].dtype; }
  int64_t num_slots() const { return 2 * static_cast<int64_t>(sequences_.size()) + 1; }
  static int64_t RoundUp(int64_t floats) { return (floats + 3) / 4 * 4; }

  // Reads the counts, launches, moves the counts on.
  template <typename Launch>
  void RunWithRing(GatedDeltaArgs args, Launch launch) {
    const SlotField count = {.base = slot_counts_.as<std::byte>(),
                             .slot_stride_bytes = sizeof(int32_t)};
    const DeviceBytes counts(sequences_.size() * sizeof(int32_t));
    EXPECT_EQ(cudaSuccess,
              LaunchGatherCounts(
                  {.batch = args.batch, .fields = {count}, .count = 1, .out = counts.as<int32_t>()},
                  nullptr));
    args.ring = DeltaRing{.length = length_,
                          .counts = counts.as<int32_t>(),
                          .values = Field(values_),
                          .decays = Field(decays_),
                          .keys = Field(keys_)};
    EXPECT_EQ(cudaSuccess, launch(args));
    EXPECT_EQ(cudaSuccess,
              LaunchAdvanceRing({.batch = args.batch, .length = length_, .count = count}, nullptr));
    CheckCuda(cudaDeviceSynchronize());
  }
  SlotField Field(int64_t offset) const {
    return {.base = slots_.as<std::byte>() + offset * sizeof(float),
            .slot_stride_bytes = slot_floats_ * static_cast<int64_t>(sizeof(float))};
  }
  std::vector<float> InitialSlots() const {
    std::vector<float> slots(num_slots() * slot_floats_, kPoison);
    for (size_t i = 0; i < sequences_.size(); ++i) {
      std::copy(sequences_[i].state.begin(), sequences_[i].state.end(),
                slots.begin() + SlotOf(i) * slot_floats_);
    }
    return slots;
  }
  GatedDeltaArgs Args(int64_t num_tokens, const DeviceBytes& offsets, const DeviceBytes& slots,
                      const DeviceBytes& a_log, const DeviceBytes& dt_bias) const {
    const DeltaShape& n = layer_.shape;
    const auto rows = [&](std::initializer_list<int64_t> shape) {
      return TensorView::Of(nullptr, dtype(), shape);
    };
    return {.batch = {.num_tokens = num_tokens,
                      .num_sequences = static_cast<int64_t>(sequences_.size()),
                      .max_tokens_per_sequence = 1,
                      .row_offsets = offsets.as<int32_t>(),
                      .slots = slots.as<int32_t>()},
            .q = rows({num_tokens, n.key_heads, n.key_dim}),
            .k = rows({num_tokens, n.key_heads, n.key_dim}),
            .v = rows({num_tokens, n.value_heads, n.value_dim}),
            .a = rows({num_tokens, n.value_heads}),
            .b = rows({num_tokens, n.value_heads}),
            .a_log = a_log.as<float>(),
            .dt_bias = dt_bias.as<float>(),
            .beta_scale = layer_.beta_scale,
            .state = Field(0),
            .out = rows({num_tokens, n.value_heads, n.value_dim})};
  }

  const DeltaLayer& layer_;
  const std::vector<DeltaInputs>& sequences_;
  const int32_t length_;
  // Where the ring's fields begin in a slot, after S, in floats; 4 between fields belong to nobody.
  const int64_t values_, decays_, keys_;
  const int64_t slot_floats_;
  const DeviceBytes slots_;
  const DeviceBytes slot_counts_;
  std::vector<std::vector<float>> outs_;
  std::vector<int64_t> next_;
};

// Sequences that begin one step after the other, so that every ring is at another phase.
void ExpectRingAgrees(const DeltaLayer& layer, const std::vector<DeltaInputs>& sequences,
                      int32_t length) {
  RingSlots slots(layer, sequences, length);
  int64_t num_steps = 0;
  for (const DeltaInputs& s : sequences) num_steps = std::max(num_steps, s.num_rows);
  num_steps += static_cast<int64_t>(sequences.size());
  for (int64_t step = 0; step < num_steps; ++step) {
    slots.Step([&](size_t i) { return step >= static_cast<int64_t>(i); });
  }
  slots.Fold([](size_t) { return true; });
  const double out_bound = sequences[0].dtype == DType::kF32 ? kFloat32 : kRoundedOnce;
  for (size_t i = 0; i < sequences.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "sequence " << i << ", ring of " << length);
    const DeltaResult expected = DeltaReference(layer, sequences[i]);
    EXPECT_LE(RelativeError(slots.out(i), expected.out), out_bound);
    EXPECT_LE(RelativeError(slots.State(i), expected.state), kFloat32);
  }
  EXPECT_TRUE(slots.NothingElseWritten());
}

constexpr DeltaShape kShapes[] = {
    {.key_heads = 1, .value_heads = 1, .key_dim = 64, .value_dim = 8},
    {.key_heads = 2, .value_heads = 4, .key_dim = 128, .value_dim = 136},
    {.key_heads = 1, .value_heads = 2, .key_dim = 192, .value_dim = 64},
    {.key_heads = 2, .value_heads = 2, .key_dim = 256, .value_dim = 256},
};

TEST_F(GatedDeltaRingTest, AgreesWithTheReferenceAtEveryPhase) {
  for (const DeltaShape& shape : kShapes) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(::testing::Message() << shape.value_heads << " x " << shape.key_dim << " x "
                                        << shape.value_dim << " " << DTypeName(dtype));
      const DeltaLayer layer = RandomDeltaLayer(shape, 2, 11);
      std::vector<DeltaInputs> sequences;
      for (const int64_t num_rows : {40, 0, 1, 16, 17, 35}) {
        sequences.push_back(RandomDeltaInputs(shape, dtype, num_rows, 100 + num_rows));
      }
      for (const int32_t length : {1, 2, 7, 16, 32}) ExpectRingAgrees(layer, sequences, length);
    }
  }
}

// Complete forgetting inside a ring, and hardly any.
TEST_F(GatedDeltaRingTest, ExtremeDecaysAgreeWithTheReference) {
  const DeltaShape shape{.key_heads = 2, .value_heads = 4, .key_dim = 64, .value_dim = 64};
  DeltaLayer layer = RandomDeltaLayer(shape, 2, 41);
  layer.a_log = {12, 5, -20, 80};
  layer.dt_bias = {0, -3, 0, 20};
  DeltaInputs s = RandomDeltaInputs(shape, DType::kF32, 50, 42);
  for (size_t i = 0; i < s.a.size(); ++i) {
    constexpr float kExtremes[] = {-60, -30, -9, 0, 8, 90, -30};
    s.a[i] = kExtremes[i * 5 % 7];
  }
  for (const int32_t length : {2, 16, 32}) ExpectRingAgrees(layer, {s}, length);
}

TEST_F(GatedDeltaRingTest, FoldOfAnEmptyRingChangesNothing) {
  const DeltaShape shape{.key_heads = 1, .value_heads = 1, .key_dim = 64, .value_dim = 64};
  const DeltaLayer layer = RandomDeltaLayer(shape, 1, 61);
  const std::vector<DeltaInputs> sequences = {RandomDeltaInputs(shape, DType::kF32, 16, 62)};
  RingSlots slots(layer, sequences, 16);
  slots.Fold([](size_t) { return true; });
  EXPECT_TRUE(Identical(slots.State(0), sequences[0].state));
  for (int step = 0; step < 16; ++step) slots.Step([](size_t) { return true; });
  const std::vector<float> folded = slots.State(0);  // by the sixteenth token
  slots.Fold([](size_t) { return true; });
  EXPECT_TRUE(Identical(slots.State(0), folded));
}

// A step's pieces fold their sequences' rings; its single tokens leave S alone.
TEST_F(GatedDeltaRingTest, OnlyTheAskedForRingsAreFolded) {
  const DeltaShape shape{.key_heads = 1, .value_heads = 2, .key_dim = 128, .value_dim = 64};
  const DeltaLayer layer = RandomDeltaLayer(shape, 1, 71);
  const std::vector<DeltaInputs> sequences = {RandomDeltaInputs(shape, DType::kBF16, 5, 72),
                                              RandomDeltaInputs(shape, DType::kBF16, 5, 73)};
  RingSlots slots(layer, sequences, 16);
  for (int step = 0; step < 5; ++step) slots.Step([](size_t) { return true; });
  EXPECT_EQ(slots.Count(0), 5);
  slots.Fold([](size_t i) { return i == 1; });
  EXPECT_EQ(slots.Count(0), 6);
  EXPECT_EQ(slots.Count(1), 0);
  EXPECT_TRUE(Identical(slots.State(0), sequences[0].state));
  EXPECT_LE(RelativeError(slots.State(1), DeltaReference(layer, sequences[1]).state), kFloat32);
}

}  // namespace
}  // namespace winnow::cuda
