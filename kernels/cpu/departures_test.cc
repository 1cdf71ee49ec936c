// Exact: Departures against a token-by-token replay on scores with many ties.
#include "kernels/cpu/departures.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/eviction_reference.h"
#include "kernels/cpu/test_slots.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/testing/each_target.h"

namespace winnow::cpu {
namespace {

using testing::ForEachTarget;

struct Shape {
  int64_t heads = 2;
  int64_t span = 8;  // V
  int64_t margin = 3;
  int64_t buffer = 4;
  int64_t sink = 0;
};

// What one head should do: the kept set by place, and every token's expiry.
class NaiveHead {
 public:
  explicit NaiveHead(const Shape& shape) : shape_(shape), kept_(shape.buffer, shape.sink) {}

  void Compute(int64_t t, const std::vector<float>& scores) {
    expiry_[t] = t + shape_.span;
    const int64_t leaving = t - shape_.span;
    if (leaving < 0) return;
    const std::set<int64_t> before = Positions();
    kept_.Retire(leaving, scores[leaving]);
    const std::set<int64_t> after = Positions();
    for (const int64_t position : before) {
      if (after.count(position) == 0) expiry_[position] = t;  // = leaving + V
    }
    if (after.count(leaving) != 0) expiry_[leaving] = kNeverExpires;
  }

  const std::vector<ReferenceHead::Kept>& kept() const { return kept_.kept(); }
  int64_t expiry(int64_t position) const { return expiry_.at(position); }

 private:
  std::set<int64_t> Positions() const {
    std::set<int64_t> positions;
    for (const ReferenceHead::Kept& kept : kept_.kept()) positions.insert(kept.position);
    return positions;
  }

  const Shape& shape_;
  ReferenceHead kept_;
  std::map<int64_t, int64_t> expiry_;
};

constexpr int64_t kPoison = -77777777;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The op's buffers and the state of some sequences; sequence i lives in slot i + 1, slot 0 belongs
// to nobody.
class Replay {
 public:
  Replay(const Shape& shape, std::vector<std::vector<std::vector<float>>> scores, int num_threads)
      : shape_(shape),
        scores_(std::move(scores)),
        pool_(num_threads),
        slots_(static_cast<int64_t>(scores_.size()),
               {shape.span * shape.heads * 4, shape.heads * 4, shape.heads * shape.buffer * 4,
                shape.heads * shape.buffer * 8}),
        done_(scores_.size()),
        naive_(scores_.size(), std::vector<NaiveHead>(shape.heads, NaiveHead(shape))) {
    for (size_t i = 0; i < scores_.size(); ++i) slots_.Zero(static_cast<int64_t>(i) + 1);
  }

  struct Part {
    int64_t sequence = 0;
    int64_t rows = 0;
  };

  // One step, then everything that the op wrote is compared.
  void Step(const std::vector<Part>& parts) {
    Prepare(parts);
    std::vector<std::vector<std::vector<ReferenceHead::Kept>>> before;
    for (const Part& part : parts) {
      before.emplace_back();
      for (NaiveHead& head : naive_[part.sequence]) before.back().push_back(head.kept());
    }
    Run(parts);
    for (const Part& part : parts) {
      for (int64_t h = 0; h < shape_.heads; ++h) {
        for (int64_t t = done_[part.sequence]; t < done_[part.sequence] + part.rows; ++t) {
          naive_[part.sequence][h].Compute(t, scores_[part.sequence][h]);
        }
      }
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      for (int64_t h = 0; h < shape_.heads && parts[i].rows > 0; ++h) {
        ComparePlan(parts[i], static_cast<int64_t>(i), h, before[i][h]);
        CompareSlot(parts[i], h);
      }
    }
    EXPECT_TRUE(slots_.Untouched(0));
    for (const Part& part : parts) done_[part.sequence] += part.rows;
  }

  int64_t left(int64_t sequence) const {
    return static_cast<int64_t>(scores_[sequence][0].size()) - shape_.margin - done_[sequence];
  }

 private:
  void Prepare(const std::vector<Part>& parts) {
    row_offsets_ = {0};
    step_scores_.clear();
    positions_.clear();
    slot_ids_.clear();
    for (const Part& part : parts) {
      for (int64_t r = 0; r < part.rows; ++r) {
        const int64_t t = done_[part.sequence] + r;
        positions_.push_back(t);
        for (int64_t h = 0; h < shape_.heads; ++h) {
          step_scores_.push_back(t < shape_.margin ? 0
                                                   : scores_[part.sequence][h][t - shape_.margin]);
        }
      }
      row_offsets_.push_back(static_cast<int32_t>(positions_.size()));
      slot_ids_.push_back(static_cast<int32_t>(part.sequence + 1));
    }
    const int64_t lists = static_cast<int64_t>(parts.size()) * shape_.heads;
    kept_before_.assign(lists, -1);
    kept_expiry_.assign(lists * shape_.buffer, kPoison);
    ring_expiry_.assign(lists * shape_.span, kPoison);
    chunk_expiry_.assign(positions_.size() * shape_.heads, kPoison);
    source_.assign(lists * shape_.buffer, kPoison);
  }

  void Run(const std::vector<Part>& parts) {
    DeparturesArgs args;
    args.batch.num_tokens = static_cast<int64_t>(positions_.size());
    args.batch.num_sequences = static_cast<int64_t>(parts.size());
    args.batch.positions = positions_.data();
    args.batch.row_offsets = row_offsets_.data();
    args.batch.slots = slot_ids_.data();
    args.scores =
        TensorView::Of(step_scores_.data(), DType::kF32, {args.batch.num_tokens, shape_.heads});
    args.margin = shape_.margin;
    args.span = shape_.span;
    args.buffer_size = shape_.buffer;
    args.sink_size = shape_.sink;
    args.num_kv_heads = shape_.heads;
    args.score_ring = slots_.Field(0);
    args.kept_count = slots_.Field(1);
    args.kept_score = slots_.Field(2);
    args.kept_position = slots_.Field(3);
    args.plan = {kept_before_.data(), kept_expiry_.data(), ring_expiry_.data(),
                 chunk_expiry_.data(), source_.data()};
    Departures(pool_, args);
  }

  void ComparePlan(const Part& part, int64_t index, int64_t h,
                   const std::vector<ReferenceHead::Kept>& before) const {
    const NaiveHead& naive = naive_[part.sequence][h];
    const int64_t list = index * shape_.heads + h;
    const int64_t p0 = done_[part.sequence];
    ASSERT_EQ(kept_before_[list], static_cast<int64_t>(before.size()));
    for (size_t i = 0; i < before.size(); ++i) {
      ASSERT_EQ(kept_expiry_[list * shape_.buffer + i], naive.expiry(before[i].position))
          << "kept slot " << i;
    }
    for (int64_t j = std::max<int64_t>(0, p0 - shape_.span); j < p0; ++j) {
      ASSERT_EQ(ring_expiry_[list * shape_.span + j % shape_.span], naive.expiry(j))
          << "token " << j;
    }
    for (int64_t r = 0; r < part.rows; ++r) {
      ASSERT_EQ(chunk_expiry_[(row_offsets_[index] + r) * shape_.heads + h], naive.expiry(p0 + r))
          << "row " << r;
    }
    for (int64_t i = 0; i < shape_.buffer; ++i) {
      const bool used = i < static_cast<int64_t>(naive.kept().size());
      const bool had = i < static_cast<int64_t>(before.size());
      const bool changed = used && (!had || before[i].position != naive.kept()[i].position);
      ASSERT_EQ(source_[list * shape_.buffer + i], changed ? naive.kept()[i].position : kUnchanged)
          << "kept slot " << i;
    }
  }

  void CompareSlot(const Part& part, int64_t h) {
    const NaiveHead& naive = naive_[part.sequence][h];
    const int64_t slot = part.sequence + 1;
    const int64_t size = static_cast<int64_t>(naive.kept().size());
    ASSERT_EQ(slots_.Field(1).at<int32_t>(slot)[h], size);
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_EQ(slots_.Field(2).at<float>(slot)[h * shape_.buffer + i],
                static_cast<float>(naive.kept()[i].score));
      ASSERT_EQ(slots_.Field(3).at<int64_t>(slot)[h * shape_.buffer + i], naive.kept()[i].position);
    }
    const int64_t end = done_[part.sequence] + part.rows - shape_.margin;
    for (int64_t j = std::max<int64_t>(0, end - shape_.span); j < end; ++j) {
      const float score = slots_.Field(0).at<float>(slot)[j % shape_.span * shape_.heads + h];
      const float expected = scores_[part.sequence][h][j];
      ASSERT_TRUE(score == expected || (std::isnan(score) && std::isnan(expected)))
          << score << " vs " << expected;
    }
  }

  const Shape shape_;
  const std::vector<std::vector<std::vector<float>>> scores_;  // [sequence][head][position]
  ThreadPool pool_;
  TestSlots slots_;
  std::vector<int64_t> done_;
  std::vector<std::vector<NaiveHead>> naive_;  // [sequence][head]

  std::vector<int64_t> positions_;
  std::vector<int32_t> row_offsets_;
  std::vector<int32_t> slot_ids_;
  std::vector<float> step_scores_;
  std::vector<int32_t> kept_before_;
  std::vector<int64_t> kept_expiry_;
  std::vector<int64_t> ring_expiry_;
  std::vector<int64_t> chunk_expiry_;
  std::vector<int64_t> source_;
};

// `levels` different scores, some not above 0: few levels make many ties.
std::vector<std::vector<float>> TieRichScores(const Shape& shape, int64_t size, int64_t levels,
                                              std::mt19937_64* rng) {
  std::vector<std::vector<float>> scores(shape.heads);
  for (std::vector<float>& head : scores) {
    for (int64_t t = 0; t < size + shape.margin; ++t) {
      head.push_back(static_cast<float>(static_cast<int64_t>((*rng)() % levels) - levels / 4) / 64);
    }
  }
  return scores;
}

// Random cuts of a ragged batch until all sequences are done.
void ExpectExact(const Shape& shape, int64_t levels, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<std::vector<std::vector<float>>> scores;
  for (const int64_t size : {60, 7, 33, 100})
    scores.push_back(TieRichScores(shape, size, levels, &rng));
  Replay replay(shape, scores, 2);
  for (bool more = true; more && !::testing::Test::HasFatalFailure();) {
    std::vector<Replay::Part> parts;
    more = false;
    for (int64_t i = 0; i < static_cast<int64_t>(scores.size()); ++i) {
      const int64_t left = replay.left(i);
      more = more || left > 0;
      const int64_t rows = static_cast<int64_t>(rng() % 2 == 0 ? 1 : rng() % 40);
      if (left > 0 && rng() % 4 != 0) parts.push_back({i, std::min(left, rows)});
    }
    replay.Step(parts);
  }
}

TEST(Departures, EqualsTheReplayTokenByToken) {
  uint64_t seed = 1;
  for (const int64_t span : {1, 4, 9, 30}) {
    for (const int64_t margin : {0, 3, 6}) {
      for (const int64_t buffer : {0, 1, 3, 16, 40}) {
        for (const int64_t sink : {0, 2, 5}) {
          if (margin >= span) continue;
          SCOPED_TRACE(::testing::Message()
                       << "span " << span << ", margin " << margin << ", buffer " << buffer
                       << ", sink " << sink << ", seed " << seed);
          for (const int64_t levels : {2, 5, 1000}) {
            ExpectExact({.span = span, .margin = margin, .buffer = buffer, .sink = sink}, levels,
                        seed++);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(Departures, LargeBuffersOnEveryTarget) {
  ForEachTarget([] {
    ExpectExact({.heads = 3, .span = 5, .margin = 2, .buffer = 37, .sink = 1}, 3, 100);
    ExpectExact({.heads = 1, .span = 2, .margin = 1, .buffer = 64, .sink = 0}, 400, 101);
  });
}

TEST(Departures, NanIsNotKept) {
  const Shape shape = {.heads = 1, .span = 3, .margin = 1, .buffer = 2};
  Replay replay(shape, {{{0.5, kNan, 0.25, kNan, 0.75, 0.1, kNan, 0.3, 0, 0, 0, 0}}}, 1);
  for (int i = 0; i < 11; ++i) replay.Step({{0, 1}});
}

// More sinks than places: the first ones stay, no later sink strictly beats an earlier one.
TEST(Departures, SinksFillTheBuffer) {
  const Shape shape = {.heads = 1, .span = 4, .margin = 1, .buffer = 3, .sink = 5};
  Replay replay(shape, {{std::vector<float>(40, 0.5)}}, 1);
  replay.Step({{0, 1}});
  replay.Step({{0, 30}});
  for (int i = 0; i < 8; ++i) replay.Step({{0, 1}});
}

TEST(Departures, NoSequences) { Replay({}, {}, 2).Step({}); }

}  // namespace
}  // namespace winnow::cpu
