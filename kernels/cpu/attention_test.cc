// Attention without eviction (full and sliding window) against float64; window + eviction is in
// eviction_test.cc.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/test_pages.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/write_kv.h"
#include "kernels/testing/buffers.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using testing::ForEachTarget;
using testing::Identical;
using testing::kPoison;
using testing::Near;
using testing::RandomFloats;

struct Shape {
  int64_t kv_heads = 1;
  int64_t group = 1;
  int64_t head_dim = 8;
  int64_t page_tokens = 3;
  int64_t window = 0;  // 0: full attention
};

// All tokens of one sequence. q [N, Hkv * G, D]; k, v [N, Hkv, D].
struct Tokens {
  int64_t size = 0;
  std::vector<float> q, k, v;
};

Tokens MakeTokens(const Shape& shape, int64_t size, uint64_t seed) {
  const int64_t kv = size * shape.kv_heads * shape.head_dim;
  // Large queries make some softmaxes sharp.
  return {size, RandomFloats(kv * shape.group, seed, -4, 4), RandomFloats(kv, seed + 1),
          RandomFloats(kv, seed + 2)};
}

// Query head `head` of token t, from the definition.
std::vector<double> NaiveAttention(const Shape& shape, const Tokens& tokens, int64_t t,
                                   int64_t head) {
  const int64_t d = shape.head_dim;
  const int64_t kv_head = head / shape.group;
  const int64_t first = shape.window == 0 ? 0 : std::max<int64_t>(0, t - shape.window + 1);
  const float* q = &tokens.q[(t * shape.kv_heads * shape.group + head) * d];
  std::vector<double> scores;
  for (int64_t j = first; j <= t; ++j) {
    double dot = 0;
    for (int64_t i = 0; i < d; ++i)
      dot += double{q[i]} * tokens.k[(j * shape.kv_heads + kv_head) * d + i];
    scores.push_back(dot / std::sqrt(static_cast<double>(d)));
  }
  const double max = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  std::vector<double> out(d, 0.0);
  for (int64_t j = first; j <= t; ++j) {
    const double weight = std::exp(scores[j - first] - max);
    sum += weight;
    for (int64_t i = 0; i < d; ++i)
      out[i] += weight * tokens.v[(j * shape.kv_heads + kv_head) * d + i];
  }
  for (double& x : out) x /= sum;
  return out;
}

// A layer with some sequences; Step computes their next tokens through Attention and WriteKv.
class Layer {
 public:
  Layer(const Shape& shape, std::vector<Tokens> sequences, int num_threads)
      : shape_(shape),
        sequences_(std::move(sequences)),
        done_(sequences_.size()),
        pool_(num_threads),
        pages_(PagesShape(shape, sequences_), static_cast<int64_t>(sequences_.size()), 99) {}

  struct Part {
    int64_t sequence = 0;
    int64_t rows = 0;
  };

  // Outputs [T, Hq, D] of the next rows of each part. The activations' rows have `pad` floats of
  // poison after them.
  std::vector<float> Step(const std::vector<Part>& parts, int64_t pad = 0) {
    const int64_t d = shape_.head_dim;
    const int64_t q_size = shape_.kv_heads * shape_.group * d;
    const int64_t kv_size = shape_.kv_heads * d;
    std::vector<float> q, k, v;
    std::vector<int64_t> positions;
    std::vector<int32_t> row_offsets = {0};
    std::vector<int32_t> slots;
    for (const Part& part : parts) {
      const Tokens& tokens = sequences_[part.sequence];
      for (int64_t r = 0; r < part.rows; ++r) {
        const int64_t t = done_[part.sequence]++;
        positions.push_back(t);
        Append(&tokens.q[t * q_size], q_size, pad, &q);
        Append(&tokens.k[t * kv_size], kv_size, pad, &k);
        Append(&tokens.v[t * kv_size], kv_size, pad, &v);
      }
      row_offsets.push_back(static_cast<int32_t>(positions.size()));
      slots.push_back(static_cast<int32_t>(part.sequence + 1));
      pages_.ProvideRing(part.sequence + 1, done_[part.sequence]);
    }
    const int64_t num_rows = static_cast<int64_t>(positions.size());
    testing::PoisonedBuffer out(num_rows * q_size);

    AttentionArgs args;
    args.batch.num_tokens = num_rows;
    args.batch.num_sequences = static_cast<int64_t>(parts.size());
    args.batch.positions = positions.data();
    args.batch.row_offsets = row_offsets.data();
    args.batch.slots = slots.data();
    args.q = View(q.data(), num_rows, shape_.kv_heads * shape_.group, pad);
    args.k = View(k.data(), num_rows, shape_.kv_heads, pad);
    args.v = View(v.data(), num_rows, shape_.kv_heads, pad);
    args.out = View(out.data(), num_rows, shape_.kv_heads * shape_.group, 0);
    args.pages = pages_.View();
    args.span = shape_.window == 0 ? kNeverExpires : shape_.window;
    Attention(pool_, args);
    EXPECT_TRUE(out.GuardsIntact());

    WriteKvArgs write;
    write.batch = args.batch;
    write.k = args.k;
    write.v = args.v;
    write.pages = args.pages;
    WriteKv(pool_, write);
    EXPECT_TRUE(pages_.UnusedIntact());
    return {out.span().begin(), out.span().end()};
  }

  // What the last step should have given for the last `rows` rows of a sequence.
  std::vector<double> Expected(int64_t sequence, int64_t rows) const {
    std::vector<double> all;
    for (int64_t t = done_[sequence] - rows; t < done_[sequence]; ++t) {
      for (int64_t h = 0; h < shape_.kv_heads * shape_.group; ++h) {
        const std::vector<double> head = NaiveAttention(shape_, sequences_[sequence], t, h);
        all.insert(all.end(), head.begin(), head.end());
      }
    }
    return all;
  }

 private:
  static TestPagesShape PagesShape(const Shape& shape, const std::vector<Tokens>& sequences) {
    int64_t longest = 1;
    for (const Tokens& tokens : sequences) longest = std::max(longest, tokens.size);
    TestPagesShape pages;
    pages.page_tokens = shape.page_tokens;
    pages.head_dim = shape.head_dim;
    pages.num_kv_heads = shape.kv_heads;
    pages.ring_tokens = shape.window == 0 ? kNeverExpires : shape.window;
    pages.ring_capacity = std::min(longest, pages.ring_tokens);
    return pages;
  }

  static void Append(const float* from, int64_t size, int64_t pad, std::vector<float>* to) {
    to->insert(to->end(), from, from + size);
    to->insert(to->end(), pad, kPoison);
  }

  TensorView View(float* data, int64_t rows, int64_t heads, int64_t pad) const {
    TensorView view = TensorView::Of(data, DType::kF32, {rows, heads, shape_.head_dim});
    view.row_stride += pad;
    return view;
  }

  const Shape shape_;
  const std::vector<Tokens> sequences_;
  std::vector<int64_t> done_;
  ThreadPool pool_;
  TestPages pages_;
};

constexpr testing::Tolerance kTolerance = {.relative = 1e-5, .absolute = 2e-6};

// Cuts one sequence into pieces and compares the outputs of each one's last rows.
void ExpectPieces(const Shape& shape, const std::vector<int64_t>& pieces, uint64_t seed,
                  int64_t compare = 300, testing::Tolerance tolerance = kTolerance) {
  int64_t size = 0;
  for (const int64_t piece : pieces) size += piece;
  Layer layer(shape, {MakeTokens(shape, size, seed)}, 2);
  for (const int64_t piece : pieces) {
    const std::vector<float> out = layer.Step({{0, piece}}, 5);
    const std::vector<double> expected = layer.Expected(0, std::min(piece, compare));
    ASSERT_TRUE(Near(std::span(out).last(expected.size()), expected, tolerance))
        << "piece of " << piece;
  }
}

class AttentionShapes : public ::testing::TestWithParam<std::tuple<int64_t, int64_t, int64_t>> {};

// Head dim, query group, window; pieces of one token, few and many, longer than the window too.
TEST_P(AttentionShapes, AgreesWithDefinition) {
  const auto [head_dim, group, window] = GetParam();
  const Shape shape = {
      .kv_heads = 2, .group = group, .head_dim = head_dim, .page_tokens = 3, .window = window};
  ForEachTarget([&] { ExpectPieces(shape, {1, 1, 2, 5, 1, 40, 3, 1, 33, 1}, 7); });
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionShapes,
                         ::testing::Combine(::testing::Values(1, 7, 16, 33, 64),
                                            ::testing::Values(1, 2, 3, 4, 5, 8),
                                            ::testing::Values(0, 1, 2, 17, 100)));

TEST(Attention, LargeHeadDimsAndPageSizes) {
  for (const int64_t head_dim : {128, 200, 256}) {
    for (const int64_t page_tokens : {1, 16, 64}) {
      ExpectPieces({.kv_heads = 1,
                    .group = 2,
                    .head_dim = head_dim,
                    .page_tokens = page_tokens,
                    .window = 0},
                   {65, 1, 130, 1, 2}, 11);
    }
  }
}

// More keys than one segment: partial results are combined, and the longest possible segments are
// needed.
TEST(Attention, LongContextOneTokenAtATime) {
  for (const int64_t group : {1, 4, 6}) {
    ForEachTarget([&] {
      ExpectPieces({.kv_heads = 1, .group = group, .head_dim = 16, .page_tokens = 16, .window = 0},
                   {511, 1, 1, 700, 1, 4}, 13, 5);
    });
    ExpectPieces({.kv_heads = 1, .group = group, .head_dim = 4, .page_tokens = 16, .window = 0},
                 {18000, 1, 1}, 17, 5);
  }
}

TEST(Attention, NoTokensAndEmptySequences) {
  const Shape shape;
  Layer layer(shape, {MakeTokens(shape, 4, 1), MakeTokens(shape, 4, 2)}, 2);
  EXPECT_TRUE(layer.Step({}).empty());
  std::vector<float> out = layer.Step({{0, 2}, {1, 0}});
  EXPECT_TRUE(Near(out, layer.Expected(0, 2), kTolerance));
  out = layer.Step({{1, 0}, {0, 1}});
  EXPECT_TRUE(Near(out, layer.Expected(0, 1), kTolerance));
}

// A fault in one sequence stays there; a fault in a key reaches every row that sees it.
TEST(Attention, NanStaysInItsSequence) {
  const Shape shape = {.kv_heads = 1, .group = 1, .head_dim = 8, .page_tokens = 4, .window = 6};
  std::vector<Tokens> sequences = {MakeTokens(shape, 20, 1), MakeTokens(shape, 20, 2)};
  sequences[0].k[3 * 8 + 5] = std::nanf("");
  for (const int64_t piece : {1, 20}) {
    Layer layer(shape, sequences, 2);
    for (int64_t t = 0; t < 20; t += piece) {
      const std::vector<float> out = layer.Step({{0, piece}, {1, piece}});
      for (int64_t r = 0; r < piece; ++r) {
        const bool faulty = t + r >= 3 && t + r < 3 + 6;
        EXPECT_EQ(std::isnan(out[r * 8]), faulty) << t + r;
        EXPECT_FALSE(std::isnan(out[(piece + r) * 8])) << t + r;
      }
    }
  }
}

// Scores far beyond what float32 exponentials can hold.
TEST(Attention, LargeScores) {
  const Shape shape = {.kv_heads = 1, .group = 3, .head_dim = 16, .page_tokens = 4, .window = 0};
  for (const int64_t piece : {1, 90}) {
    Tokens tokens = MakeTokens(shape, 90, 5);
    for (float& x : tokens.q) x *= 1000;
    Layer layer(shape, {tokens}, 1);
    for (int64_t t = 0; t < 90; t += piece) {
      // The scores' own rounding moves weights that are nearly equal.
      const std::vector<float> out = layer.Step({{0, piece}});
      ASSERT_TRUE(Near(out, layer.Expected(0, piece), {.relative = 0, .absolute = 2e-3}));
    }
  }
}

// Bits do not depend on neighbours, threads or places in the batch.
TEST(Attention, SameBitsAloneAndAmongNeighbours) {
  for (const int64_t group : {1, 3, 6}) {
    const Shape shape = {
        .kv_heads = 2, .group = group, .head_dim = 24, .page_tokens = 5, .window = 0};
    std::vector<Tokens> sequences;
    for (int i = 0; i < 5; ++i) sequences.push_back(MakeTokens(shape, 1400, 100 + i));
    const std::vector<std::vector<int64_t>> pieces = {
        {300, 1, 1, 2}, {1, 1, 1, 1}, {33, 97, 65, 1}, {1300, 1, 5, 1}, {700, 1, 1, 60}};
    std::vector<std::vector<float>> together(5);
    Layer all(shape, sequences, 3);
    for (int step = 0; step < 4; ++step) {
      std::vector<Layer::Part> parts;
      for (int i = 0; i < 5; ++i) parts.push_back({(i + step) % 5, pieces[(i + step) % 5][step]});
      const std::vector<float> out = all.Step(parts);
      int64_t row = 0;
      for (const Layer::Part& part : parts) {
        const int64_t row_size = 2 * group * 24;
        auto& to = together[part.sequence];
        to.insert(to.end(), out.begin() + row * row_size,
                  out.begin() + (row + part.rows) * row_size);
        row += part.rows;
      }
    }
    for (int i = 0; i < 5; ++i) {
      Layer alone(shape, {sequences[i]}, 1 + i % 2);
      std::vector<float> out;
      for (const int64_t piece : pieces[i]) {
        const std::vector<float> step = alone.Step({{0, piece}});
        out.insert(out.end(), step.begin(), step.end());
      }
      EXPECT_TRUE(Identical(together[i], out)) << "sequence " << i;
    }
  }
}

}  // namespace
}  // namespace winnow::cpu
