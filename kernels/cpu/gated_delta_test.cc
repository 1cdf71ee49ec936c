#include "kernels/cpu/gated_delta.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <utility>
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

struct Shape {
  int64_t key_heads = 1;
  int64_t value_heads = 1;
  int64_t key_dim = 1;
  int64_t value_dim = 1;

  int64_t state_size() const { return value_heads * key_dim * value_dim; }
};

// The weights of one layer.
struct Layer {
  Shape shape;
  std::vector<float> a_log;
  std::vector<float> dt_bias;
  float beta_scale = 1;
};

// The inputs of one sequence, all its rows.
struct Sequence {
  int64_t num_rows = 0;
  int64_t first_position = 0;
  std::vector<float> q, k, v, a, b;
  std::vector<float> state;  // before the first row
};

Layer RandomLayer(const Shape& shape, float beta_scale, uint64_t seed) {
  return {.shape = shape,
          .a_log = RandomFloats(shape.value_heads, seed, -3, 2),
          .dt_bias = RandomFloats(shape.value_heads, seed + 1, -4, 1),
          .beta_scale = beta_scale};
}

Sequence RandomSequence(const Shape& shape, int64_t num_rows, uint64_t seed) {
  Sequence s{.num_rows = num_rows,
             .first_position = 0,
             .q = {},
             .k = {},
             .v = {},
             .a = {},
             .b = {},
             .state = {}};
  s.q = RandomFloats(num_rows * shape.key_heads * shape.key_dim, seed, -2, 3);
  s.k = RandomFloats(num_rows * shape.key_heads * shape.key_dim, seed + 1, -1, 2);
  s.v = RandomFloats(num_rows * shape.value_heads * shape.value_dim, seed + 2, -2, 2);
  s.a = RandomFloats(num_rows * shape.value_heads, seed + 3, -3, 3);
  s.b = RandomFloats(num_rows * shape.value_heads, seed + 4, -4, 4);
  s.state = RandomFloats(shape.state_size(), seed + 5);
  return s;
}

struct Result {
  std::vector<double> out;
  std::vector<double> state;
  double state_scale = 0;  // the largest |S| on the way
};

double MaxAbs(std::span<const double> x) {
  double max = 0;
  for (const double v : x) max = std::max(max, std::abs(v));
  return max;
}

std::vector<double> Normalised(const float* x, int64_t n, double scale) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  std::vector<double> y(n);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] / std::sqrt(sum + 1e-6) * scale;
  return y;
}

// One token of one head in float64, as the definition has it.
void ReferenceStep(const std::vector<double>& q, const std::vector<double>& k, const float* v,
                   double g, double beta, double* state, double* out, int64_t value_dim) {
  const int64_t key_dim = static_cast<int64_t>(k.size());
  for (int64_t i = 0; i < key_dim * value_dim; ++i) state[i] *= std::exp(g);
  for (int64_t c = 0; c < value_dim; ++c) {
    double y = 0;
    for (int64_t i = 0; i < key_dim; ++i) y += state[i * value_dim + c] * k[i];
    const double delta = beta * (v[c] - y);
    for (int64_t i = 0; i < key_dim; ++i) state[i * value_dim + c] += k[i] * delta;
    out[c] = 0;
    for (int64_t i = 0; i < key_dim; ++i) out[c] += state[i * value_dim + c] * q[i];
  }
}

Result Reference(const Layer& layer, const Sequence& s) {
  const Shape& n = layer.shape;
  Result r{.out = std::vector<double>(s.v.size()),
           .state = std::vector<double>(s.state.begin(), s.state.end())};
  r.state_scale = MaxAbs(r.state);
  for (int64_t t = 0; t < s.num_rows; ++t) {
    for (int64_t h = 0; h < n.value_heads; ++h) {
      const int64_t key_row = (t * n.key_heads + h / (n.value_heads / n.key_heads)) * n.key_dim;
      const int64_t gate = t * n.value_heads + h;
      const double x = double{s.a[gate]} + layer.dt_bias[h];
      const double softplus = x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
      const double g = -std::exp(double{layer.a_log[h]}) * softplus;
      const double beta = layer.beta_scale / (1 + std::exp(-double{s.b[gate]}));
      ReferenceStep(Normalised(&s.q[key_row], n.key_dim, 1 / std::sqrt(double(n.key_dim))),
                    Normalised(&s.k[key_row], n.key_dim, 1), &s.v[gate * n.value_dim], g, beta,
                    &r.state[h * n.key_dim * n.value_dim], &r.out[gate * n.value_dim], n.value_dim);
    }
    r.state_scale = std::max(r.state_scale, MaxAbs(r.state));
  }
  return r;
}

// Steps over several sequences: gathers their rows into one batch, scatters outputs and states
// back.
class Runner {
 public:
  Runner(const Layer& layer, int num_threads, DeltaForm form = DeltaForm::kByRows)
      : layer_(layer), pool_(num_threads), form_(form) {}

  struct Piece {
    Sequence* sequence;  // its state is moved on
    int64_t begin;
    int64_t end;
    std::vector<float>* out;  // of the whole sequence
  };

  void Step(const std::vector<Piece>& pieces) {
    const Shape& n = layer_.shape;
    int64_t num_tokens = 0;
    std::vector<int32_t> offsets = {0}, slots;
    std::vector<int64_t> positions;
    for (size_t i = 0; i < pieces.size(); ++i) {
      num_tokens += pieces[i].end - pieces[i].begin;
      offsets.push_back(num_tokens);
      slots.push_back(2 * (pieces.size() - i));  // not in order, with unused slots between
      for (int64_t t = pieces[i].begin; t < pieces[i].end; ++t) {
        positions.push_back(pieces[i].sequence->first_position + t);
      }
    }
    StridedRows q({num_tokens, n.key_heads, n.key_dim}), k({num_tokens, n.key_heads, n.key_dim});
    StridedRows v({num_tokens, n.value_heads, n.value_dim});
    StridedRows out({num_tokens, n.value_heads, n.value_dim});
    StridedRows a({num_tokens, n.value_heads}), b({num_tokens, n.value_heads});
    const int64_t slot_floats = n.state_size() + 3;
    std::vector<float> states((2 * pieces.size() + 2) * slot_floats, kPoison);
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Sequence& s = *pieces[i].sequence;
      const auto rows = [&](const std::vector<float>& values) {
        if (s.num_rows == 0) return std::span<const float>();
        const size_t row_size = values.size() / s.num_rows;
        return std::span(values).subspan(pieces[i].begin * row_size,
                                         (pieces[i].end - pieces[i].begin) * row_size);
      };
      q.Fill(rows(s.q), offsets[i]);
      k.Fill(rows(s.k), offsets[i]);
      v.Fill(rows(s.v), offsets[i]);
      a.Fill(rows(s.a), offsets[i]);
      b.Fill(rows(s.b), offsets[i]);
      std::copy(s.state.begin(), s.state.end(), &states[slots[i] * slot_floats + 1]);
    }
    const std::vector<float> states_before = states;
    GatedDeltaInForm(
        pool_,
        {.batch = {.num_tokens = num_tokens,
                   .num_sequences = static_cast<int64_t>(pieces.size()),
                   .max_tokens_per_sequence = num_tokens,
                   .positions = positions.data(),
                   .row_offsets = offsets.data(),
                   .slots = slots.data()},
         .q = q.view(),
         .k = k.view(),
         .v = v.view(),
         .a = a.view(),
         .b = b.view(),
         .a_log = layer_.a_log.data(),
         .dt_bias = layer_.dt_bias.data(),
         .beta_scale = layer_.beta_scale,
         .state = {.base = reinterpret_cast<std::byte*>(states.data() + 1),
                   .slot_stride_bytes = slot_floats * static_cast<int64_t>(sizeof(float))},
         .out = out.view()},
        form_);
    EXPECT_TRUE(out.GapsIntact());
    for (size_t i = 0; i < pieces.size(); ++i) {
      std::vector<float>& state = pieces[i].sequence->state;
      float* slot = &states[slots[i] * slot_floats + 1];
      std::copy_n(slot, state.size(), state.begin());
      std::copy_n(&states_before[slots[i] * slot_floats + 1], state.size(), slot);
      pieces[i].out->resize(pieces[i].sequence->v.size(), kPoison);
      const std::vector<float> rows = out.Values(offsets[i], offsets[i + 1]);
      std::copy(rows.begin(), rows.end(),
                pieces[i].out->begin() + pieces[i].begin * n.value_heads * n.value_dim);
    }
    EXPECT_EQ(0, std::memcmp(states.data(), states_before.data(), states.size() * sizeof(float)))
        << "memory beside the states was written";
  }

  // One sequence in steps of the given sizes (the last repeats). Returns the output; moves its
  // state.
  std::vector<float> Run(Sequence& s, const std::vector<int64_t>& sizes) {
    std::vector<float> out(s.v.size(), kPoison);
    size_t i = 0;
    for (int64_t begin = 0; begin < s.num_rows;) {
      const int64_t end = std::min(s.num_rows, begin + sizes[std::min(i++, sizes.size() - 1)]);
      Step({{&s, begin, end, &out}});
      begin = end;
    }
    return out;
  }

 private:
  const Layer& layer_;
  ThreadPool pool_;
  DeltaForm form_;
};

// Errors as a share of the largest element, of S the largest it ever had: small ones are what is
// left of those.
void ExpectAgrees(const std::vector<float>& out, const Sequence& after, const Result& expected,
                  double relative) {
  EXPECT_TRUE(
      Near(out, expected.out, {.relative = 0, .absolute = relative * MaxAbs(expected.out)}));
  EXPECT_TRUE(Near(after.state, expected.state,
                   {.relative = 0, .absolute = relative * expected.state_scale}));
}

constexpr Shape kShapes[] = {
    {.key_heads = 1, .value_heads = 1, .key_dim = 1, .value_dim = 1},
    {.key_heads = 2, .value_heads = 2, .key_dim = 16, .value_dim = 16},
    {.key_heads = 1, .value_heads = 2, .key_dim = 17, .value_dim = 37},
    {.key_heads = 2, .value_heads = 6, .key_dim = 24, .value_dim = 48},
    {.key_heads = 1, .value_heads = 1, .key_dim = 64, .value_dim = 129},
    {.key_heads = 3, .value_heads = 3, .key_dim = 5, .value_dim = 3},
};

constexpr DeltaForm kForms[] = {DeltaForm::kByRows, DeltaForm::kRecurrent, DeltaForm::kChunked};

TEST(GatedDeltaTest, BothFormsAgreeWithTheReference) {
  for (const Shape& shape : kShapes) {
    for (const float beta_scale : {1.0f, 2.0f}) {
      const Layer layer = RandomLayer(shape, beta_scale, 11);
      for (const int64_t num_rows : {1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 130, 200}) {
        SCOPED_TRACE(::testing::Message()
                     << num_rows << " rows, beta scale " << beta_scale << ", " << shape.value_heads
                     << " x " << shape.key_dim << " x " << shape.value_dim);
        const Sequence start = RandomSequence(shape, num_rows, 100 + num_rows);
        const Result expected = Reference(layer, start);
        ForEachTarget([&] {
          for (const DeltaForm form : kForms) {
            SCOPED_TRACE(static_cast<int>(form));
            Sequence s = start;
            const std::vector<float> out = Runner(layer, 1, form).Run(s, {num_rows});
            ExpectAgrees(out, s, expected, 3e-6);
          }
        });
      }
    }
  }
}

// The sizes of published models; the widest panels.
TEST(GatedDeltaTest, LargeHeadsAgreeWithTheReference) {
  for (const Shape& shape :
       {Shape{.key_heads = 1, .value_heads = 2, .key_dim = 128, .value_dim = 128},
        Shape{.key_heads = 1, .value_heads = 1, .key_dim = 256, .value_dim = 512},
        Shape{.key_heads = 1, .value_heads = 1, .key_dim = 600, .value_dim = 40}}) {
    const Layer layer = RandomLayer(shape, 2, 12);
    const Sequence start = RandomSequence(shape, 70, 5);
    const Result expected = Reference(layer, start);
    ForEachTarget([&] {
      for (const DeltaForm form : kForms) {
        Sequence s = start;
        const std::vector<float> out = Runner(layer, 2, form).Run(s, {70});
        ExpectAgrees(out, s, expected, 3e-6);
      }
    });
  }
}

TEST(GatedDeltaTest, AnySplitIntoStepsAgrees) {
  const Shape shape{.key_heads = 2, .value_heads = 4, .key_dim = 100, .value_dim = 52};
  const Layer layer = RandomLayer(shape, 2, 21);
  for (const int64_t first_position : {int64_t{0}, int64_t{13}, (int64_t{1} << 40) + 63}) {
    Sequence start = RandomSequence(shape, 200, 22);
    start.first_position = first_position;
    const Result expected = Reference(layer, start);
    const std::vector<std::vector<int64_t>> splits = {
        {200}, {1}, {7}, {16}, {17}, {63, 1, 64, 65, 7}, {1, 199}, {199, 1}, {3, 40, 1, 1, 100, 2}};
    for (const std::vector<int64_t>& sizes : splits) {
      Sequence s = start;
      const std::vector<float> out = Runner(layer, 2).Run(s, sizes);
      ExpectAgrees(out, s, expected, 3e-6);
    }
  }
}

// Pieces cut at multiples of the chunk size are the same arithmetic as the whole, in the chunked
// form.
TEST(GatedDeltaTest, PiecesOfWholeChunksGiveTheSameBits) {
  const Shape shape{.key_heads = 1, .value_heads = 2, .key_dim = 96, .value_dim = 33};
  const Layer layer = RandomLayer(shape, 1, 23);
  Sequence start = RandomSequence(shape, 192, 24);
  start.first_position = 650;
  Sequence whole = start, pieces = start;
  const std::vector<float> out = Runner(layer, 2).Run(whole, {192});
  EXPECT_TRUE(Identical(Runner(layer, 2).Run(pieces, {38, 32, 64, 58}), out));
  EXPECT_TRUE(Identical(pieces.state, whole.state));
}

// Sequences of all lengths in one step, in slots of any order: each as if it were alone, whatever
// the threads.
TEST(GatedDeltaTest, NeighboursAndThreadsChangeNoBit) {
  const Shape shape{.key_heads = 1, .value_heads = 3, .key_dim = 97, .value_dim = 161};
  const Layer layer = RandomLayer(shape, 2, 31);
  const std::vector<int64_t> lengths = {1, 0, 200, 1, 64, 63, 2, 0, 17, 65, 1, 16, 33};
  std::vector<Sequence> starts;
  for (size_t i = 0; i < lengths.size(); ++i) {
    starts.push_back(RandomSequence(shape, lengths[i], 1000 + 10 * i));
    starts.back().first_position = 5 * i;
  }
  ForEachTarget([&] {
    std::vector<Sequence> alone = starts;
    std::vector<std::vector<float>> alone_out;
    for (Sequence& s : alone) alone_out.push_back(Runner(layer, 1).Run(s, {200}));
    for (const int num_threads : {1, 2, 7}) {
      std::vector<Sequence> together = starts;
      std::vector<std::vector<float>> outs(starts.size());
      std::vector<Runner::Piece> pieces;
      for (size_t i = 0; i < starts.size(); ++i) {
        pieces.push_back({&together[i], 0, lengths[i], &outs[i]});
      }
      Runner(layer, num_threads).Step(pieces);
      for (size_t i = 0; i < starts.size(); ++i) {
        SCOPED_TRACE(::testing::Message() << lengths[i] << " rows, " << num_threads << " threads");
        EXPECT_TRUE(Identical(outs[i], alone_out[i]));
        EXPECT_TRUE(Identical(together[i].state, alone[i].state));
      }
    }
  });
}

// One long sequence is cut into ranges of columns when there are more threads than heads.
TEST(GatedDeltaTest, RangesOfColumnsChangeNoBit) {
  const Shape shape{.key_heads = 1, .value_heads = 1, .key_dim = 96, .value_dim = 200};
  const Layer layer = RandomLayer(shape, 1, 33);
  for (const int64_t num_rows : {1, 40}) {
    const Sequence start = RandomSequence(shape, num_rows, 34);
    Sequence one = start;
    const std::vector<float> out = Runner(layer, 1).Run(one, {num_rows});
    for (const int num_threads : {2, 3, 16}) {
      Sequence s = start;
      EXPECT_TRUE(Identical(Runner(layer, num_threads).Run(s, {num_rows}), out));
      EXPECT_TRUE(Identical(s.state, one.state));
    }
  }
}

// Gates from none to complete forgetting, changing from row to row: nothing overflows, and a mild
// decay between two extreme ones keeps its accuracy.
TEST(GatedDeltaTest, ExtremeDecaysAgreeWithTheReference) {
  const Shape shape{.key_heads = 2, .value_heads = 4, .key_dim = 20, .value_dim = 19};
  Layer layer = RandomLayer(shape, 2, 41);
  layer.a_log = {12, 5, -20, 80};
  layer.dt_bias = {0, -3, 0, 20};
  Sequence start = RandomSequence(shape, 150, 42);
  std::mt19937 rng(43);
  for (float& a : start.a) {
    constexpr float kExtremes[] = {-60, -30, -9, 0, 8, 90};
    a = kExtremes[rng() % 6];
  }
  for (float& b : start.b) b = rng() % 3 == 0 ? 100 : b * 10;
  const Result expected = Reference(layer, start);
  ForEachTarget([&] {
    for (const DeltaForm form : kForms) {
      Sequence s = start;
      const std::vector<float> out = Runner(layer, 1, form).Run(s, {150});
      ExpectAgrees(out, s, expected, 3e-6);
    }
  });
}

// Complete forgetting makes the log decays' running sum large; the mild decays behind it,
// differences of such sums, must not lose digits by that.
TEST(GatedDeltaTest, MildDecaysBehindExtremeOnesStayAccurate) {
  const Shape shape{.key_heads = 1, .value_heads = 1, .key_dim = 8, .value_dim = 8};
  Layer layer = RandomLayer(shape, 1, 45);
  layer.a_log = {0};
  layer.dt_bias = {0};
  Sequence start = RandomSequence(shape, 16, 46);
  for (int64_t t = 0; t < 16; ++t) start.a[t] = t < 8 ? 190 : -2 - 0.1f * t;
  const Result expected = Reference(layer, start);
  for (const DeltaForm form : {DeltaForm::kRecurrent, DeltaForm::kChunked}) {
    Sequence s = start;
    const std::vector<float> out = Runner(layer, 1, form).Run(s, {16});
    ExpectAgrees(out, s, expected, 1e-6);
  }
}

// Repeated keys and beta near 2 make the triangular system as hard as it gets: forward substitution
// must do no worse than the recurrence itself does in float32.
TEST(GatedDeltaTest, RepeatedKeysCostNoAccuracy) {
  const Shape shape{.key_heads = 1, .value_heads = 1, .key_dim = 32, .value_dim = 32};
  Layer layer = RandomLayer(shape, 2, 51);
  layer.a_log = {-12};  // hardly any decay
  Sequence start = RandomSequence(shape, 192, 52);
  for (int64_t t = 1; t < 192; ++t) {
    if (t % 5 != 0) std::copy_n(&start.k[0], 32, &start.k[t * 32]);
    start.b[t] = t % 3 == 0 ? 8 : 1;
  }
  const Result expected = Reference(layer, start);
  const auto error = [&](DeltaForm form) {
    Sequence s = start;
    const std::vector<float> out = Runner(layer, 1, form).Run(s, {192});
    double max = 0;
    for (size_t i = 0; i < out.size(); ++i) max = std::max(max, std::abs(out[i] - expected.out[i]));
    return max / MaxAbs(expected.out);
  };
  const double recurrent = error(DeltaForm::kRecurrent), chunked = error(DeltaForm::kChunked);
  RecordProperty("recurrent_error", ::testing::PrintToString(recurrent));
  RecordProperty("chunked_error", ::testing::PrintToString(chunked));
  EXPECT_LT(recurrent, 1e-5);
  EXPECT_LE(chunked, 4 * recurrent);
}

TEST(GatedDeltaTest, ZeroKeysAndValuesOnlyDecay) {
  const Shape shape{.key_heads = 1, .value_heads = 1, .key_dim = 24, .value_dim = 8};
  const Layer layer = RandomLayer(shape, 1, 61);
  Sequence start = RandomSequence(shape, 40, 62);
  std::fill(start.k.begin(), start.k.end(), 0.0f);
  std::fill(start.v.begin(), start.v.end(), 0.0f);
  const Result expected = Reference(layer, start);
  for (const DeltaForm form : kForms) {
    Sequence s = start;
    const std::vector<float> out = Runner(layer, 1, form).Run(s, {40});
    ExpectAgrees(out, s, expected, 3e-6);
  }
}

// A fault must reach the logits of its own sequence, from any input, and no other.
TEST(GatedDeltaTest, NaNStaysInItsSequenceAndIsNotLost) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const Shape shape{.key_heads = 1, .value_heads = 1, .key_dim = 16, .value_dim = 16};
  const Layer layer = RandomLayer(shape, 1, 71);
  for (const DeltaForm form : {DeltaForm::kRecurrent, DeltaForm::kChunked}) {
    for (std::vector<float> Sequence::*input :
         {&Sequence::q, &Sequence::k, &Sequence::v, &Sequence::a, &Sequence::b}) {
      Sequence sick = RandomSequence(shape, 20, 72), well = RandomSequence(shape, 20, 73);
      std::vector<float>& values = sick.*input;
      const size_t per_row = values.size() / 20;
      values[17 * per_row] = kNaN;
      std::vector<float> sick_out, well_out;
      Runner(layer, 2, form).Step({{&sick, 0, 20, &sick_out}, {&well, 0, 20, &well_out}});
      EXPECT_TRUE(std::any_of(sick_out.begin() + 17 * 16, sick_out.begin() + 18 * 16,
                              [](float x) { return std::isnan(x); }));
      EXPECT_TRUE(
          std::none_of(well_out.begin(), well_out.end(), [](float x) { return std::isnan(x); }));
    }
  }
}

TEST(GatedDeltaTest, EmptyStep) {
  const Layer layer = RandomLayer(kShapes[1], 1, 81);
  Runner(layer, 2).Step({});
  Sequence empty = RandomSequence(kShapes[1], 0, 82);
  const std::vector<float> state = empty.state;
  std::vector<float> out;
  Runner(layer, 2).Step({{&empty, 0, 0, &out}});
  EXPECT_TRUE(Identical(empty.state, state));
}

}  // namespace
}  // namespace winnow::cpu
