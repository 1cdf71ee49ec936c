// The ring form of the gated delta rule against the forms without one, which have a reference of
// their own (gated_delta_test.cc): sequences that go on token by token and piece by piece.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/gated_delta.h"
#include "kernels/cpu/state_ops.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using ::winnow::testing::ForEachTarget;
using ::winnow::testing::Identical;
using ::winnow::testing::kPoison;
using ::winnow::testing::RandomFloats;

constexpr int64_t kSlots = 5;

struct Shape {
  int64_t key_heads, value_heads, key_dim, value_dim;
};

// The memory of all slots' fields, one behind the other in each slot.
class Slots {
 public:
  Slots(const Shape& n, int64_t length)
      : ring_values_(n.value_heads * n.key_dim * n.value_dim),
        ring_decays_(ring_values_ + n.value_heads * length * n.value_dim),
        ring_keys_(ring_decays_ + n.value_heads * length),
        stride_(ring_keys_ + n.key_heads * length * n.key_dim),
        memory_((kSlots + 1) * stride_, kPoison),
        counts_(kSlots + 1, 0) {
    for (int64_t slot = 0; slot <= kSlots; ++slot) {
      std::fill_n(&memory_[slot * stride_], ring_values_, 0.0f);
    }
  }
  SlotField state() { return Field(0); }
  SlotField count() {
    return {.base = reinterpret_cast<std::byte*>(counts_.data()), .slot_stride_bytes = 4};
  }
  DeltaRing ring(int64_t length, const int32_t* counts) {
    return {.length = length,
            .counts = counts,
            .values = Field(ring_values_),
            .decays = Field(ring_decays_),
            .keys = Field(ring_keys_)};
  }
  std::vector<float> State(int64_t slot) const {
    const auto begin = memory_.begin() + slot * stride_;
    return {begin, begin + ring_values_};
  }

 private:
  SlotField Field(int64_t offset) {
    return {.base = reinterpret_cast<std::byte*>(&memory_[offset]),
            .slot_stride_bytes = stride_ * static_cast<int64_t>(sizeof(float))};
  }

  // Where the fields begin, in floats; S is at 0.
  const int64_t ring_values_, ring_decays_, ring_keys_, stride_;
  std::vector<float> memory_;
  std::vector<int32_t> counts_;
};

// The rows of one step, random, of sequences in the given slots.
class Step {
 public:
  Step(const Shape& n, const std::vector<int32_t>& slots, const std::vector<int32_t>& offsets,
       uint64_t seed)
      : n_(n), slots_(slots), offsets_(offsets), positions_(offsets.back()) {
    const int64_t t = offsets.back();
    q_ = RandomFloats(t * n.key_heads * n.key_dim, seed, -2, 3);
    k_ = RandomFloats(t * n.key_heads * n.key_dim, seed + 1, -1, 2);
    v_ = RandomFloats(t * n.value_heads * n.value_dim, seed + 2, -2, 2);
    a_ = RandomFloats(t * n.value_heads, seed + 3, -3, 3);
    b_ = RandomFloats(t * n.value_heads, seed + 4, -4, 4);
    a_log_ = RandomFloats(n.value_heads, 1, -3, 2);
    dt_bias_ = RandomFloats(n.value_heads, 2, -4, 1);
  }

  // Returns the outputs. Ring of `length`; 0: none.
  std::vector<float> Run(ThreadPool& pool, int64_t length, Slots& slots) {
    std::vector<float> out(v_.size(), kPoison);
    GatedDeltaArgs args = Args(out);
    args.state = slots.state();
    std::vector<int32_t> counts(slots_.size(), -1);
    if (length > 0) {
      GatherCounts(
          pool, {.batch = args.batch, .fields = {slots.count()}, .count = 1, .out = counts.data()});
      args.ring = slots.ring(length, counts.data());
    }
    GatedDelta(pool, args);
    if (length > 0) {
      AdvanceRing(pool, {.batch = args.batch, .length = length, .count = slots.count()});
    }
    return out;
  }

 private:
  GatedDeltaArgs Args(std::vector<float>& out) {
    const int64_t t = offsets_.back();
    const auto view = [&](std::vector<float>& x, int64_t heads, int64_t dim) {
      return TensorView::Of(x.data(), DType::kF32, {t, heads, dim});
    };
    GatedDeltaArgs args;
    args.batch.num_tokens = t;
    args.batch.num_sequences = static_cast<int64_t>(slots_.size());
    args.batch.max_tokens_per_sequence = t;
    args.batch.positions = positions_.data();
    args.batch.row_offsets = offsets_.data();
    args.batch.slots = slots_.data();
    args.q = view(q_, n_.key_heads, n_.key_dim);
    args.k = view(k_, n_.key_heads, n_.key_dim);
    args.v = view(v_, n_.value_heads, n_.value_dim);
    args.a = TensorView::Of(a_.data(), DType::kF32, {t, n_.value_heads});
    args.b = TensorView::Of(b_.data(), DType::kF32, {t, n_.value_heads});
    args.a_log = a_log_.data();
    args.dt_bias = dt_bias_.data();
    args.beta_scale = 2;
    args.out = view(out, n_.value_heads, n_.value_dim);
    return args;
  }

  const Shape n_;
  const std::vector<int32_t> slots_, offsets_;
  std::vector<int64_t> positions_;
  std::vector<float> q_, k_, v_, a_, b_, a_log_, dt_bias_;
};

// Sequences in random order, many with one row, some with none, some with several.
Step RandomStep(const Shape& n, std::mt19937& random) {
  std::vector<int32_t> slots, offsets = {0};
  for (int32_t slot = 1; slot <= kSlots; ++slot) slots.push_back(slot);
  std::shuffle(slots.begin(), slots.end(), random);
  for (size_t i = 0; i < slots.size(); ++i) {
    constexpr int32_t kRows[] = {1, 1, 1, 1, 1, 0, 2, 19};
    offsets.push_back(offsets.back() + kRows[random() % 8]);
  }
  return Step(n, slots, offsets, random());
}

// Norm of the difference over that of y.
double RelativeError(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    error += std::pow(double{x[i]} - y[i], 2);
    norm += std::pow(double{y[i]}, 2);
  }
  return norm == 0 ? std::sqrt(error) : std::sqrt(error / norm);  // NaN if anything is
}

constexpr Shape kShapes[] = {{1, 1, 1, 1}, {2, 6, 17, 33}, {1, 2, 128, 65}};

TEST(GatedDeltaRingTest, GivesWhatTheFormsWithoutARingGive) {
  for (const Shape& shape : kShapes) {
    for (const int64_t length : {1, 2, 5, 32}) {
      SCOPED_TRACE(::testing::Message() << shape.key_dim << ", ring of " << length);
      ForEachTarget([&] {
        ThreadPool pool(3);
        Slots with(shape, length), without(shape, length);
        std::mt19937 random(7);
        for (int i = 0; i < 60; ++i) {
          Step step = RandomStep(shape, random);
          const std::vector<float> expected = step.Run(pool, 0, without);
          ASSERT_LE(RelativeError(step.Run(pool, length, with), expected), 1e-5) << "step " << i;
        }
        // Pieces of two rows fold what is in the rings.
        Step last(shape, {1, 2, 3, 4, 5}, {0, 2, 4, 6, 8, 10}, 99);
        last.Run(pool, 0, without);
        last.Run(pool, length, with);
        for (int64_t slot = 1; slot <= kSlots; ++slot) {
          EXPECT_LE(RelativeError(with.State(slot), without.State(slot)), 1e-5) << slot;
        }
      });
    }
  }
}

TEST(GatedDeltaRingTest, SIsWrittenByEveryLengthThTokenOnly) {
  const Shape shape{1, 2, 8, 8};
  ThreadPool pool(1);
  Slots slots(shape, 4);
  std::vector<float> before = slots.State(1);
  for (int token = 1; token <= 12; ++token) {
    Step(shape, {1}, {0, 1}, 10 * token).Run(pool, 4, slots);
    const std::vector<float> after = slots.State(1);
    EXPECT_EQ(static_cast<bool>(Identical(after, before)), token % 4 != 0) << token;
    before = after;
  }
}

// Columns are cut into ranges where there are more threads than heads.
TEST(GatedDeltaRingTest, ThreadsChangeNoBit) {
  const Shape shape{1, 2, 24, 130};
  ThreadPool one(1), many(7);
  Slots slots(shape, 3), threaded(shape, 3);
  for (int i = 0; i < 8; ++i) {
    Step step(shape, {2, 1}, {0, 1, 2}, 10 * i);
    const std::vector<float> expected = step.Run(one, 3, slots);
    EXPECT_TRUE(Identical(step.Run(many, 3, threaded), expected));
    EXPECT_TRUE(Identical(threaded.State(1), slots.State(1)));
  }
}

}  // namespace
}  // namespace winnow::cpu
