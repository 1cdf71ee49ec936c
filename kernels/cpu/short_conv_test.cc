#include "kernels/cpu/short_conv.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/strided_rows.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using ::winnow::testing::ForEachTarget;
using ::winnow::testing::Identical;
using ::winnow::testing::kPoison;
using ::winnow::testing::Near;
using ::winnow::testing::RandomFloats;

// One sequence: all its inputs, and its history as the kernel moves it on.
struct Sequence {
  std::vector<float> x;        // [rows, channels]
  std::vector<float> history;  // [width - 1, channels]
};

struct Piece {
  Sequence* sequence;
  int64_t begin;
  int64_t end;
};

class Conv {
 public:
  Conv(int64_t num_channels, int64_t width, uint64_t seed)
      : num_channels_(num_channels),
        width_(width),
        weight_(RandomFloats(num_channels * width, seed, -1, 1)) {}

  Sequence Make(int64_t num_rows, uint64_t seed, bool at_start) const {
    Sequence s{.x = RandomFloats(num_rows * num_channels_, seed, -2, 2),
               .history = RandomFloats((width_ - 1) * num_channels_, seed + 1, -2, 2)};
    if (at_start) std::fill(s.history.begin(), s.history.end(), 0.0f);
    return s;
  }

  // Token by token with a window of past inputs, in float64.
  std::vector<double> Reference(const Sequence& s) const {
    std::vector<double> out;
    std::vector<std::vector<float>> past;
    for (int64_t i = 0; i < width_ - 1; ++i) past.push_back(Row(s.history, i));
    for (int64_t t = 0; t < static_cast<int64_t>(s.x.size()) / num_channels_; ++t) {
      past.push_back(Row(s.x, t));
      for (int64_t c = 0; c < num_channels_; ++c) {
        double sum = 0;
        for (int64_t i = 0; i < width_; ++i) sum += double{weight_[c * width_ + i]} * past[i][c];
        out.push_back(sum / (1 + std::exp(-sum)));
      }
      past.erase(past.begin());
    }
    return out;
  }

  // Runs one step; outputs of the pieces one behind the other. Moves the histories.
  std::vector<float> Step(ThreadPool& pool, const std::vector<Piece>& pieces) const {
    std::vector<int32_t> offsets = {0}, slots;
    for (size_t i = 0; i < pieces.size(); ++i) {
      offsets.push_back(offsets.back() + static_cast<int32_t>(pieces[i].end - pieces[i].begin));
      slots.push_back(static_cast<int32_t>(2 * (pieces.size() - i)));
    }
    const int64_t num_tokens = offsets.back();
    const int64_t history_size = (width_ - 1) * num_channels_;
    const int64_t slot_floats = history_size + 3;
    std::vector<float> slots_memory((2 * pieces.size() + 2) * slot_floats, kPoison);
    StridedRows x({num_tokens, num_channels_}), out({num_tokens, num_channels_});
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Sequence& s = *pieces[i].sequence;
      x.Fill(std::span(s.x).subspan(pieces[i].begin * num_channels_,
                                    (pieces[i].end - pieces[i].begin) * num_channels_),
             offsets[i]);
      std::copy(s.history.begin(), s.history.end(), &slots_memory[slots[i] * slot_floats + 1]);
    }
    const std::vector<float> before = slots_memory;
    ShortConv(pool,
              {.batch = {.num_tokens = num_tokens,
                         .num_sequences = static_cast<int64_t>(pieces.size()),
                         .max_tokens_per_sequence = num_tokens,
                         .row_offsets = offsets.data(),
                         .slots = slots.data()},
               .x = x.view(),
               .weight = weight_.data(),
               .width = width_,
               .history = {.base = reinterpret_cast<std::byte*>(slots_memory.data() + 1),
                           .slot_stride_bytes = slot_floats * static_cast<int64_t>(sizeof(float))},
               .out = out.view()});
    EXPECT_TRUE(x.GapsIntact() && out.GapsIntact());
    for (size_t i = 0; i < pieces.size(); ++i) {
      float* history = &slots_memory[slots[i] * slot_floats + 1];
      std::copy_n(history, history_size, pieces[i].sequence->history.begin());
      std::copy_n(&before[slots[i] * slot_floats + 1], history_size, history);
    }
    EXPECT_EQ(0, std::memcmp(slots_memory.data(), before.data(), before.size() * sizeof(float)))
        << "memory beside the histories was written";
    return out.Values();
  }

  // The last width - 1 inputs.
  std::vector<float> HistoryAfter(const Sequence& s) const {
    std::vector<float> all = s.history;
    all.insert(all.end(), s.x.begin(), s.x.end());
    return {all.end() - (width_ - 1) * num_channels_, all.end()};
  }

 private:
  std::vector<float> Row(const std::vector<float>& values, int64_t i) const {
    return {values.begin() + i * num_channels_, values.begin() + (i + 1) * num_channels_};
  }

  int64_t num_channels_;
  int64_t width_;
  std::vector<float> weight_;
};

TEST(ShortConvTest, AgreesWithTheReference) {
  for (const int64_t width : {1, 2, 3, 4, 7}) {
    for (const int64_t num_channels : {1, 5, 16, 67, 700}) {
      const Conv conv(num_channels, width, 1);
      for (const int64_t num_rows : {1, 2, 3, 4, 9, 64}) {
        for (const bool at_start : {true, false}) {
          SCOPED_TRACE(::testing::Message() << width << ", " << num_channels << ", " << num_rows);
          const Sequence start = conv.Make(num_rows, 10 * num_rows, at_start);
          const std::vector<double> expected = conv.Reference(start);
          ForEachTarget([&] {
            ThreadPool pool(2);
            Sequence s = start;
            const std::vector<float> out = conv.Step(pool, {{&s, 0, num_rows}});
            EXPECT_TRUE(Near(out, expected, {.relative = 1e-6, .absolute = 1e-6}));
            EXPECT_TRUE(Identical(s.history, conv.HistoryAfter(start)));
          });
        }
      }
    }
  }
}

TEST(ShortConvTest, AnySplitIntoStepsGivesTheSameBits) {
  for (const int64_t width : {1, 2, 4, 6}) {
    const Conv conv(37, width, 2);
    const Sequence start = conv.Make(50, 3, false);
    ThreadPool pool(2);
    Sequence whole = start;
    const std::vector<float> expected = conv.Step(pool, {{&whole, 0, 50}});
    for (const std::vector<int64_t>& sizes :
         std::vector<std::vector<int64_t>>{{1}, {2}, {3, 1, 2}, {7}, {49, 1}, {1, 49}}) {
      Sequence s = start;
      std::vector<float> out;
      size_t i = 0;
      for (int64_t begin = 0; begin < 50;) {
        const int64_t end = std::min<int64_t>(50, begin + sizes[i++ % sizes.size()]);
        const std::vector<float> piece = conv.Step(pool, {{&s, begin, end}});
        out.insert(out.end(), piece.begin(), piece.end());
        begin = end;
      }
      EXPECT_TRUE(Identical(out, expected));
      EXPECT_TRUE(Identical(s.history, whole.history));
    }
  }
}

TEST(ShortConvTest, NeighboursAndThreadsChangeNoBit) {
  const Conv conv(523, 4, 4);
  const std::vector<int64_t> lengths = {1, 0, 200, 1, 2, 3, 64, 0, 1};
  std::vector<Sequence> starts;
  for (size_t i = 0; i < lengths.size(); ++i)
    starts.push_back(conv.Make(lengths[i], 20 + i, false));
  ForEachTarget([&] {
    std::vector<float> expected;
    std::vector<Sequence> alone = starts;
    for (size_t i = 0; i < starts.size(); ++i) {
      ThreadPool pool(1);
      const std::vector<float> out = conv.Step(pool, {{&alone[i], 0, lengths[i]}});
      expected.insert(expected.end(), out.begin(), out.end());
    }
    for (const int num_threads : {1, 2, 7}) {
      ThreadPool pool(num_threads);
      std::vector<Sequence> together = starts;
      std::vector<Piece> pieces;
      for (size_t i = 0; i < starts.size(); ++i) pieces.push_back({&together[i], 0, lengths[i]});
      EXPECT_TRUE(Identical(conv.Step(pool, pieces), expected));
      for (size_t i = 0; i < starts.size(); ++i) {
        EXPECT_TRUE(Identical(together[i].history, alone[i].history));
      }
    }
  });
}

TEST(ShortConvTest, EmptyStep) {
  const Conv conv(8, 4, 5);
  ThreadPool pool(2);
  EXPECT_TRUE(conv.Step(pool, {}).empty());
}

}  // namespace
}  // namespace winnow::cpu
