// The four ops of window + learned eviction together: RouterScores, Departures, Attention and
// WriteKv over ragged batches of sequences that are cut into steps at random give what one token
// after the other gives in float64.
#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/departures.h"
#include "kernels/cpu/eviction_reference.h"
#include "kernels/cpu/router.h"
#include "kernels/cpu/test_pages.h"
#include "kernels/cpu/test_slots.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/write_kv.h"
#include "kernels/ops/position_score.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using testing::ForEachTarget;
using testing::Identical;
using testing::kPoison;
using testing::Near;
using testing::PoisonedBuffer;

struct Part {
  int64_t sequence = 0;
  int64_t rows = 0;
};

// One layer with the state of some sequences; sequence i lives in slot i + 1, slot 0 belongs to
// nobody.
class Layer {
 public:
  Layer(const EvictionShape& shape, const RouterModel& router,
        std::vector<EvictionTokens> sequences, int64_t page_tokens, int num_threads)
      : shape_(shape),
        router_(router),
        sequences_(std::move(sequences)),
        span_(shape.window + 1),
        pool_(num_threads),
        slots_(static_cast<int64_t>(sequences_.size()), FieldBytes()),
        pages_(PagesShape(shape, page_tokens), static_cast<int64_t>(sequences_.size()), 17),
        done_(sequences_.size()),
        outputs_(sequences_.size()) {
    for (size_t i = 0; i < sequences_.size(); ++i) slots_.Zero(static_cast<int64_t>(i) + 1);
  }

  void Step(const std::vector<Part>& parts) {
    Gather(parts);
    const int64_t kv_heads = shape_.kv_heads;
    const int64_t lists = batch_.num_sequences * kv_heads;
    std::vector<int32_t> kept_before(lists, -1);
    std::vector<int64_t> kept_expiry(lists * shape_.buffer, -1);
    std::vector<int64_t> ring_expiry(lists * span_, -1);
    std::vector<int64_t> chunk_expiry(batch_.num_tokens * kv_heads, -1);
    std::vector<int64_t> source(lists * shape_.buffer, -1);
    const KeptPlan plan = {kept_before.data(), kept_expiry.data(), ring_expiry.data(),
                           chunk_expiry.data(), source.data()};
    PoisonedBuffer scores(batch_.num_tokens * kv_heads);
    PoisonedBuffer out(batch_.num_tokens * kv_heads * shape_.group * shape_.head_dim);

    RunRouter(&scores);
    RunDepartures(&scores, plan);
    RunAttention(plan, &out);
    WriteKvArgs write;
    write.batch = batch_;
    write.k = View(k_, kv_heads);
    write.v = View(v_, kv_heads);
    write.pages = pages_.View();
    write.plan = &plan;
    write.buffer_size = shape_.buffer;
    WriteKv(pool_, write);

    EXPECT_TRUE(out.GuardsIntact());
    EXPECT_TRUE(pages_.UnusedIntact());
    EXPECT_TRUE(slots_.Untouched(0));
    Scatter(parts, out);
  }

  int64_t left(int64_t sequence) const { return sequences_[sequence].size - done_[sequence]; }
  // Outputs so far, [N, Hq, D].
  const std::vector<float>& outputs(int64_t sequence) const { return outputs_[sequence]; }
  // Positions that a head keeps, in order of their places.
  std::vector<int64_t> Kept(int64_t sequence, int64_t head) {
    const int64_t count = KeptCount(sequence, head);
    const int64_t* positions = slots_.Field(3).at<int64_t>(sequence + 1) + head * shape_.buffer;
    return {positions, positions + count};
  }

 private:
  // Score ring, kept counts, scores and positions, then one history for each convolution.
  std::vector<int64_t> FieldBytes() const {
    const int64_t heads = shape_.kv_heads;
    std::vector<int64_t> bytes = {span_ * heads * 4, heads * 4, heads * shape_.buffer * 4,
                                  heads * shape_.buffer * 8};
    for (const RouterConv& conv : router_.weights().convs)
      bytes.push_back(conv.history() * heads * conv.in * 4);
    return bytes;
  }

  static TestPagesShape PagesShape(const EvictionShape& shape, int64_t page_tokens) {
    return {.page_tokens = page_tokens,
            .head_dim = shape.head_dim,
            .num_kv_heads = shape.kv_heads,
            .ring_tokens = shape.window + 1,
            .ring_capacity = shape.window + 1,
            .kept_capacity = shape.buffer};
  }

  int64_t KeptCount(int64_t sequence, int64_t head) {
    return slots_.Field(1).at<int32_t>(sequence + 1)[head];
  }

  // The step's activations, and the pages that the scheduler would provide for it.
  void Gather(const std::vector<Part>& parts) {
    for (std::vector<float>* x : {&q_, &k_raw_, &k_, &v_}) x->clear();
    positions_.clear();
    slot_ids_.clear();
    row_offsets_ = {0};
    const int64_t kv_size = shape_.kv_heads * shape_.head_dim;
    for (const Part& part : parts) {
      const EvictionTokens& tokens = sequences_[part.sequence];
      const int64_t t = done_[part.sequence];
      const auto append = [&](const std::vector<float>& from, int64_t row_size,
                              std::vector<float>* to) {
        to->insert(to->end(), from.begin() + t * row_size,
                   from.begin() + (t + part.rows) * row_size);
      };
      append(tokens.q, kv_size * shape_.group, &q_);
      append(tokens.k_raw, kv_size, &k_raw_);
      append(tokens.k, kv_size, &k_);
      append(tokens.v, kv_size, &v_);
      for (int64_t r = 0; r < part.rows; ++r) positions_.push_back(t + r);
      row_offsets_.push_back(static_cast<int32_t>(positions_.size()));
      slot_ids_.push_back(static_cast<int32_t>(part.sequence + 1));
      pages_.ProvideRing(part.sequence + 1, t + part.rows);
      const int64_t departures =
          std::max<int64_t>(0, t + part.rows - span_) - std::max<int64_t>(0, t - span_);
      for (int64_t h = 0; h < shape_.kv_heads; ++h) {
        pages_.ProvideKept(part.sequence + 1, h, KeptCount(part.sequence, h) + departures);
      }
    }
    batch_ = RaggedBatch();
    batch_.num_tokens = static_cast<int64_t>(positions_.size());
    batch_.num_sequences = static_cast<int64_t>(parts.size());
    batch_.positions = positions_.data();
    batch_.row_offsets = row_offsets_.data();
    batch_.slots = slot_ids_.data();
  }

  TensorView View(std::vector<float>& x, int64_t heads) const {
    return TensorView::Of(x.data(), DType::kF32, {batch_.num_tokens, heads, shape_.head_dim});
  }

  void RunRouter(PoisonedBuffer* scores) {
    RouterScoresArgs args;
    args.batch = batch_;
    args.k = View(k_raw_, shape_.kv_heads);
    args.v = View(v_, shape_.kv_heads);
    args.weights = &router_.weights();
    for (size_t i = 0; i < shape_.convs.size(); ++i)
      args.history.push_back(slots_.Field(4 + static_cast<int>(i)));
    args.scores = TensorView::Of(scores->data(), DType::kF32, {batch_.num_tokens, shape_.kv_heads});
    RouterScores(pool_, args);
  }

  void RunDepartures(PoisonedBuffer* scores, const KeptPlan& plan) {
    DeparturesArgs args;
    args.batch = batch_;
    args.scores = TensorView::Of(scores->data(), DType::kF32, {batch_.num_tokens, shape_.kv_heads});
    args.margin = router_.weights().margin();
    args.span = span_;
    args.buffer_size = shape_.buffer;
    args.sink_size = shape_.sink;
    args.num_kv_heads = shape_.kv_heads;
    args.score_ring = slots_.Field(0);
    args.kept_count = slots_.Field(1);
    args.kept_score = slots_.Field(2);
    args.kept_position = slots_.Field(3);
    args.plan = plan;
    Departures(pool_, args);
  }

  void RunAttention(const KeptPlan& plan, PoisonedBuffer* out) {
    AttentionArgs args;
    args.batch = batch_;
    args.q = View(q_, shape_.kv_heads * shape_.group);
    args.k = View(k_, shape_.kv_heads);
    args.v = View(v_, shape_.kv_heads);
    args.pages = pages_.View();
    args.span = span_;
    args.plan = &plan;
    args.buffer_size = shape_.buffer;
    args.out = TensorView::Of(out->data(), DType::kF32,
                              {batch_.num_tokens, shape_.kv_heads * shape_.group, shape_.head_dim});
    Attention(pool_, args);
  }

  void Scatter(const std::vector<Part>& parts, const PoisonedBuffer& out) {
    const float* from = out.span().data();
    for (const Part& part : parts) {
      const int64_t size = part.rows * shape_.kv_heads * shape_.group * shape_.head_dim;
      outputs_[part.sequence].insert(outputs_[part.sequence].end(), from, from + size);
      from += size;
      done_[part.sequence] += part.rows;
    }
  }

  const EvictionShape& shape_;
  const RouterModel& router_;
  const std::vector<EvictionTokens> sequences_;
  const int64_t span_;  // V
  ThreadPool pool_;
  TestSlots slots_;
  TestPages pages_;
  std::vector<int64_t> done_;
  std::vector<std::vector<float>> outputs_;

  // The step in progress.
  RaggedBatch batch_;
  std::vector<float> q_, k_raw_, k_, v_;
  std::vector<int64_t> positions_;
  std::vector<int32_t> row_offsets_;
  std::vector<int32_t> slot_ids_;
};

// Steps that compute all of the sequences, each cut at random: single tokens, pieces, and pieces
// longer than the window.
std::vector<std::vector<Part>> RandomSteps(const std::vector<EvictionTokens>& sequences,
                                           int64_t window, std::mt19937_64* rng) {
  std::vector<int64_t> left;
  for (const EvictionTokens& tokens : sequences) left.push_back(tokens.size);
  const auto choose = [&](int64_t most) {
    return 1 + static_cast<int64_t>((*rng)() % static_cast<uint64_t>(most));
  };
  std::vector<std::vector<Part>> steps;
  while (std::any_of(left.begin(), left.end(), [](int64_t n) { return n > 0; })) {
    steps.emplace_back();
    for (size_t i = 0; i < left.size(); ++i) {
      if (left[i] == 0 || (*rng)() % 4 == 0) continue;
      const int64_t kind = choose(8);
      const int64_t rows = std::min(left[i], kind <= 4   ? 1
                                             : kind <= 7 ? choose(12)
                                                         : choose(2 * window + 10));
      steps.back().push_back({static_cast<int64_t>(i), rows});
      left[i] -= rows;
    }
    std::shuffle(steps.back().begin(), steps.back().end(), *rng);
  }
  return steps;
}

// Rounding may not turn a decision: seeds with a closer call than this are passed over, but where
// scores are exact.
constexpr double kClosestCall = 3e-6;

// Returns false if the seed was passed over.
bool ExpectEviction(const EvictionShape& shape, int64_t page_tokens, uint64_t seed) {
  SCOPED_TRACE(::testing::Message()
               << "seed " << seed << ", page " << page_tokens << ", window " << shape.window
               << ", buffer " << shape.buffer << ", sink " << shape.sink);
  const RouterModel router(shape, seed);
  std::vector<EvictionTokens> sequences;
  std::vector<ReferenceEviction> expected;
  sequences.reserve(4);
  for (const int64_t size : {5, 40, 90, 137}) {
    sequences.push_back(MakeEvictionTokens(shape, size, seed * 100 + static_cast<uint64_t>(size)));
    expected.emplace_back(shape, router, sequences.back());
    const bool exact = ScoresPosition(shape.method);
    if (!exact && expected.back().closest_call() < kClosestCall) return false;
  }
  std::mt19937_64 rng(seed);
  const std::vector<std::vector<Part>> steps = RandomSteps(sequences, shape.window, &rng);
  Layer together(shape, router, sequences, page_tokens, 3);
  for (const std::vector<Part>& step : steps) together.Step(step);

  for (int64_t i = 0; i < static_cast<int64_t>(sequences.size()); ++i) {
    EXPECT_TRUE(
        Near(together.outputs(i), expected[i].outputs(), {.relative = 1e-5, .absolute = 1e-5}))
        << "sequence " << i;
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      std::vector<int64_t> kept;
      for (const ReferenceHead::Kept& k : expected[i].heads()[h].kept()) kept.push_back(k.position);
      EXPECT_EQ(together.Kept(i, h), kept) << "sequence " << i << ", head " << h;
    }
    // Alone, on other pages and with other threads, but with the same cuts: the same bits.
    Layer alone(shape, router, {sequences[i]}, page_tokens, 1 + static_cast<int>(i) % 2);
    for (const std::vector<Part>& step : steps) {
      for (const Part& part : step) {
        if (part.sequence == i) alone.Step({{0, part.rows}});
      }
    }
    EXPECT_TRUE(Identical(together.outputs(i), alone.outputs(0))) << "sequence " << i;
  }
  return true;
}

TEST(Eviction, RandomShapesAndCuts) {
  std::mt19937_64 rng(2024);
  const auto one_of = [&](std::initializer_list<int64_t> values) {
    return *(values.begin() + rng() % values.size());
  };
  int compared = 0;
  for (uint64_t seed = 1; seed <= 60 && !::testing::Test::HasFailure(); ++seed) {
    EvictionShape shape;
    shape.kv_heads = one_of({1, 2, 3});
    shape.group = one_of({1, 2, 4, 5});
    shape.head_dim = one_of({2, 7, 16, 24});
    shape.convs = {{one_of({3, 8}), 3, one_of({1, 2})}, {4, one_of({1, 2, 3}), 1}};
    shape.shared = one_of({0, 1}) == 1;
    shape.method = one_of({0, 1}) == 1 ? RoutingMethod::kRelu : RoutingMethod::kSigmoid;
    shape.buffer = one_of({0, 1, 3, 9, 40});
    shape.sink = one_of({0, 1, 4});
    shape.window = one_of({5, 8, 20, 60});
    compared += ExpectEviction(shape, one_of({1, 3, 16}), seed);
  }
  EXPECT_GE(compared, 50);
}

// What head h of a sequence of n tokens keeps, in order of positions, cut as a seed says.
std::vector<int64_t> KeptOf(const EvictionShape& shape, int64_t n, int64_t head, uint64_t cuts) {
  const RouterModel router(shape, 1);
  const std::vector<EvictionTokens> sequences = {MakeEvictionTokens(shape, n, 2)};
  std::mt19937_64 rng(cuts);
  Layer layer(shape, router, sequences, 4, 1);
  for (const std::vector<Part>& step : RandomSteps(sequences, shape.window, &rng)) layer.Step(step);
  std::vector<int64_t> kept = layer.Kept(0, head);
  std::sort(kept.begin(), kept.end());
  return kept;
}

EvictionShape PositionShape(RoutingMethod method) {
  return {.kv_heads = 2,
          .group = 2,
          .head_dim = 8,
          .window = 12,
          .buffer = 9,
          .sink = 2,
          .convs = {{8, 3, 2}, {4, 3, 1}},
          .method = method,
          .random_seed = 5};
}

TEST(Eviction, ByPositionAsTheReferenceKeeps) {
  for (const RoutingMethod method : {RoutingMethod::kRecency, RoutingMethod::kRandom}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      EvictionShape shape = PositionShape(method);
      shape.buffer = static_cast<int64_t>(3 * seed);
      shape.random_seed = seed;
      EXPECT_TRUE(ExpectEviction(shape, 4, seed));
    }
  }
}

TEST(Eviction, RecencyKeepsTheFirstAndTheNewest) {
  const EvictionShape shape = PositionShape(RoutingMethod::kRecency);
  // Of 100 tokens the last 13 are in the window.
  const std::vector<int64_t> newest = {0, 1, 80, 81, 82, 83, 84, 85, 86};
  EXPECT_EQ(KeptOf(shape, 100, 0, 1), newest);
  EXPECT_EQ(KeptOf(shape, 100, 1, 2), newest);
}

TEST(Eviction, RandomFollowsFromTheSeedAndNotFromTheCuts) {
  EvictionShape shape = PositionShape(RoutingMethod::kRandom);
  const std::vector<int64_t> kept = KeptOf(shape, 300, 0, 1);
  EXPECT_EQ(kept.size(), 9u);
  for (uint64_t cuts = 2; cuts < 6; ++cuts) EXPECT_EQ(KeptOf(shape, 300, 0, cuts), kept);
  EXPECT_NE(KeptOf(shape, 300, 1, 1), kept) << "another head";
  shape.random_seed = 6;
  EXPECT_NE(KeptOf(shape, 300, 0, 1), kept) << "another seed";
}

TEST(Eviction, WithoutABufferNotEvenTheFirstAreKept) {
  for (const RoutingMethod method :
       {RoutingMethod::kSigmoid, RoutingMethod::kRecency, RoutingMethod::kRandom}) {
    EvictionShape shape = PositionShape(method);
    shape.buffer = 0;
    EXPECT_TRUE(KeptOf(shape, 100, 0, 1).empty());
  }
}

TEST(Eviction, EveryTarget) {
  const EvictionShape shape = {.kv_heads = 2,
                               .group = 3,
                               .head_dim = 16,
                               .window = 24,
                               .buffer = 6,
                               .sink = 2,
                               .convs = {{16, 3, 2}, {8, 3, 2}, {4, 3, 2}}};
  ForEachTarget([&] { EXPECT_TRUE(ExpectEviction(shape, 16, 3)); });
}

// A window that just covers the router's look-ahead: scores become final in the step in which they
// are needed.
TEST(Eviction, WindowEqualToTheMargin) {
  const EvictionShape shape = {.kv_heads = 2,
                               .group = 1,
                               .head_dim = 8,
                               .window = 6,
                               .buffer = 5,
                               .sink = 1,
                               .convs = {{8, 3, 2}, {4, 3, 2}, {2, 3, 2}}};
  EXPECT_TRUE(ExpectEviction(shape, 4, 8));
}

}  // namespace
}  // namespace winnow::cpu
