#include "kernels/cpu/router.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/eviction_reference.h"
#include "kernels/cpu/test_slots.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using testing::ForEachTarget;
using testing::Identical;
using testing::Near;
using testing::PoisonedBuffer;

// Sequences that a router reads in steps. Sequence i lives in slot i + 1; slot 0 belongs to nobody.
class Streams {
 public:
  Streams(const EvictionShape& shape, const RouterModel& router,
          std::vector<EvictionTokens> sequences, int num_threads)
      : shape_(shape),
        router_(router),
        sequences_(std::move(sequences)),
        pool_(num_threads),
        slots_(static_cast<int64_t>(sequences_.size()), FieldBytes(shape, router)),
        done_(sequences_.size()),
        scores_(sequences_.size()) {
    for (size_t i = 0; i < sequences_.size(); ++i) slots_.Zero(static_cast<int64_t>(i) + 1);
  }

  struct Part {
    int64_t sequence = 0;
    int64_t rows = 0;
  };

  void Step(const std::vector<Part>& parts) {
    const int64_t row_size = shape_.kv_heads * shape_.head_dim;
    std::vector<float> k, v;
    std::vector<int64_t> positions;
    std::vector<int32_t> row_offsets = {0};
    std::vector<int32_t> slots;
    for (const Part& part : parts) {
      const EvictionTokens& tokens = sequences_[part.sequence];
      for (int64_t r = 0; r < part.rows; ++r) {
        const int64_t t = done_[part.sequence]++;
        positions.push_back(t);
        k.insert(k.end(), &tokens.k_raw[t * row_size], &tokens.k_raw[t * row_size] + row_size);
        v.insert(v.end(), &tokens.v[t * row_size], &tokens.v[t * row_size] + row_size);
      }
      row_offsets.push_back(static_cast<int32_t>(positions.size()));
      slots.push_back(static_cast<int32_t>(part.sequence + 1));
    }
    const int64_t num_rows = static_cast<int64_t>(positions.size());
    PoisonedBuffer scores(num_rows * shape_.kv_heads);
    RouterScoresArgs args;
    args.batch.num_tokens = num_rows;
    args.batch.num_sequences = static_cast<int64_t>(parts.size());
    args.batch.positions = positions.data();
    args.batch.row_offsets = row_offsets.data();
    args.batch.slots = slots.data();
    args.k = TensorView::Of(k.data(), DType::kF32, {num_rows, shape_.kv_heads, shape_.head_dim});
    args.v = TensorView::Of(v.data(), DType::kF32, {num_rows, shape_.kv_heads, shape_.head_dim});
    args.weights = &router_.weights();
    for (size_t i = 0; i < shape_.convs.size(); ++i)
      args.history.push_back(slots_.Field(static_cast<int>(i)));
    args.scores = TensorView::Of(scores.data(), DType::kF32, {num_rows, shape_.kv_heads});
    RouterScores(pool_, args);
    EXPECT_TRUE(scores.GuardsIntact());
    EXPECT_TRUE(slots_.Untouched(0));

    int64_t at = 0;
    for (const Part& part : parts) {
      const int64_t size = part.rows * shape_.kv_heads;
      auto& to = scores_[part.sequence];
      to.insert(to.end(), scores.data() + at, scores.data() + at + size);
      at += size;
    }
  }

  // Scores of every row so far, [rows, Hkv]: those of the tokens `margin` before.
  const std::vector<float>& scores(int64_t sequence) const { return scores_[sequence]; }
  int64_t left(int64_t sequence) const { return sequences_[sequence].size - done_[sequence]; }

 private:
  static std::vector<int64_t> FieldBytes(const EvictionShape& shape, const RouterModel& router) {
    std::vector<int64_t> bytes;
    for (const RouterConv& conv : router.weights().convs) {
      bytes.push_back(conv.history() * shape.kv_heads * conv.in *
                      static_cast<int64_t>(sizeof(float)));
    }
    return bytes;
  }

  const EvictionShape& shape_;
  const RouterModel& router_;
  const std::vector<EvictionTokens> sequences_;
  ThreadPool pool_;
  TestSlots slots_;
  std::vector<int64_t> done_;
  std::vector<std::vector<float>> scores_;
};

// Scores in float64 as the op reports them: `margin` rows late, 0 before there is a token.
std::vector<double> Expected(const EvictionShape& shape, const RouterModel& router,
                             const EvictionTokens& tokens) {
  std::vector<double> expected(std::min(tokens.size, router.weights().margin()) * shape.kv_heads,
                               0.0);
  const std::vector<double> scores = ReferenceScores(shape, router, tokens);
  expected.insert(expected.end(), scores.begin(), scores.end());
  return expected;
}

void ExpectScores(const EvictionShape& shape, uint64_t seed) {
  const RouterModel router(shape, seed);
  std::vector<EvictionTokens> sequences;
  for (const int64_t size : {41, 1, 17, 90, 40, 3}) {
    sequences.push_back(MakeEvictionTokens(shape, size, seed + 10 + size));
  }
  Streams streams(shape, router, sequences, 2);
  std::mt19937_64 rng(seed);
  const auto choose = [&](int64_t most) {
    return static_cast<int64_t>(rng() % static_cast<uint64_t>(most));
  };
  for (bool more = true; more;) {
    std::vector<Streams::Part> parts;
    more = false;
    for (int64_t i = 0; i < static_cast<int64_t>(sequences.size()); ++i) {
      const int64_t left = streams.left(i);
      more = more || left > 0;
      if (left == 0 || choose(3) == 0) continue;
      parts.push_back({i, std::min(left, choose(2) == 0 ? 1 : 1 + choose(24))});
    }
    std::shuffle(parts.begin(), parts.end(), rng);
    streams.Step(parts);
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_TRUE(Near(streams.scores(i), Expected(shape, router, sequences[i]),
                     {.relative = 1e-5, .absolute = 3e-6}))
        << "sequence " << i << " of " << sequences[i].size;
  }
}

// As published: three convolutions of width 3 and dilation 2, channels halved by each.
EvictionShape Published(int64_t head_dim) {
  return {.kv_heads = 3,
          .head_dim = head_dim,
          .convs = {{head_dim, 3, 2}, {head_dim / 2, 3, 2}, {head_dim / 4, 3, 2}}};
}

TEST(RouterScores, PublishedShapes) {
  ForEachTarget([] {
    ExpectScores(Published(16), 1);
    ExpectScores(Published(32), 2);
    ExpectScores(Published(64), 3);
    ExpectScores(Published(128), 4);
  });
}

TEST(RouterScores, SharedFiltersAndRelu) {
  EvictionShape shape = Published(16);
  shape.shared = true;
  ForEachTarget([&] { ExpectScores(shape, 4); });
  shape.method = RoutingMethod::kRelu;
  ForEachTarget([&] { ExpectScores(shape, 5); });
}

// Even sizes look one further ahead than back; size 1 has no history; odd channel counts.
TEST(RouterScores, OtherConvolutions) {
  const std::vector<std::vector<ConvShape>> stacks = {
      {{5, 1, 1}},
      {{1, 1, 3}, {1, 1, 1}},
      {{7, 2, 1}},
      {{7, 2, 3}, {3, 4, 1}},
      {{33, 5, 1}, {20, 1, 1}, {9, 2, 2}},
      {{2, 3, 7}},
      {{66, 4, 2}, {17, 3, 1}, {40, 2, 5}, {1, 3, 2}},
  };
  uint64_t seed = 20;
  for (const std::vector<ConvShape>& stack : stacks) {
    for (const int64_t head_dim : {1, 4, 9}) {
      const EvictionShape shape = {.kv_heads = 2, .head_dim = head_dim, .convs = stack};
      ForEachTarget([&] { ExpectScores(shape, seed); });
      ++seed;
    }
  }
}

TEST(RouterScores, EmptyBatchAndEmptySequences) {
  const EvictionShape shape = Published(16);
  const RouterModel router(shape, 1);
  const std::vector<EvictionTokens> sequences = {MakeEvictionTokens(shape, 9, 1),
                                                 MakeEvictionTokens(shape, 9, 2)};
  Streams streams(shape, router, sequences, 2);
  streams.Step({});
  streams.Step({{1, 0}});
  streams.Step({{0, 0}, {1, 4}});
  streams.Step({{1, 5}, {0, 0}});
  EXPECT_TRUE(Near(streams.scores(1), Expected(shape, router, sequences[1]),
                   {.relative = 1e-5, .absolute = 3e-6}));
}

// The same bits whatever stands beside a sequence, and however it is cut into steps.
TEST(RouterScores, SameBitsInAnyBatchAndAnyCut) {
  const EvictionShape shape = Published(24);
  const RouterModel router(shape, 1);
  std::vector<EvictionTokens> sequences;
  for (int i = 0; i < 20; ++i) sequences.push_back(MakeEvictionTokens(shape, 30, 50 + i));
  Streams together(shape, router, sequences, 3);
  for (int64_t t = 0; t < 30;) {
    const int64_t rows = t == 7 ? 3 : 1;
    std::vector<Streams::Part> parts;
    for (int64_t i = 0; i < 20; ++i) parts.push_back({(i + t) % 20, rows});
    together.Step(parts);
    t += rows;
  }
  for (int64_t i = 0; i < 20; ++i) {
    Streams alone(shape, router, {sequences[i]}, 1);
    alone.Step({{0, 1 + i}});
    alone.Step({{0, 29 - i}});
    EXPECT_TRUE(Identical(together.scores(i), alone.scores(0)));
  }
}

}  // namespace
}  // namespace winnow::cpu
