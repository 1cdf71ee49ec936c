#include "kernels/cpu/departures.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/departures.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The place of the lowest of scores[0 .. size), of equal ones that with the lowest position.
// REQUIRES: size > 0, no NaN.
int64_t LowestPlace(const float* HWY_RESTRICT scores, const int64_t* HWY_RESTRICT positions,
                    int64_t size) {
  const hn::ScalableTag<float> d;
  const int64_t n = static_cast<int64_t>(hn::Lanes(d));
  const int64_t whole = size / n * n;
  auto min = hn::Set(d, scores[0]);
  for (int64_t i = 0; i < whole; i += n) min = hn::Min(min, hn::LoadU(d, scores + i));
  float score = hn::GetLane(hn::MinOfLanes(d, min));
  for (int64_t i = whole; i < size; ++i) score = std::min(score, scores[i]);

  int64_t lowest = -1;
  const auto consider = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (scores[i] == score && (lowest < 0 || positions[i] < positions[lowest])) lowest = i;
    }
  };
  const auto wanted = hn::Set(d, score);
  for (int64_t i = 0; i < whole; i += n) {
    if (!hn::AllFalse(d, hn::Eq(hn::LoadU(d, scores + i), wanted))) consider(i, i + n);
  }
  consider(whole, size);
  return lowest;
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::cpu {

HWY_EXPORT(LowestPlace);

namespace {

constexpr int64_t kNone = -1;

// The kept set, score ring and plan of one sequence and head.
class HeadReplay {
 public:
  HeadReplay(const DeparturesArgs& args, int64_t sequence, int64_t head)
      : args_(args),
        heads_(args.num_kv_heads),
        head_(head),
        span_(args.span),
        first_row_(args.batch.row_offsets[sequence]),
        num_rows_(args.batch.row_offsets[sequence + 1] - first_row_),
        first_position_(args.batch.positions[first_row_]) {
    const int64_t slot = args.batch.slots[sequence];
    const int64_t list = sequence * heads_ + head;
    score_ring_ = args.score_ring.at<float>(slot) + head;
    kept_count_ = args.kept_count.at<int32_t>(slot) + head;
    if (args.buffer_size > 0) {
      kept_score_ = args.kept_score.at<float>(slot) + head * args.buffer_size;
      kept_position_ = args.kept_position.at<int64_t>(slot) + head * args.buffer_size;
    }
    kept_before_ = args.plan.kept_before + list;
    kept_expiry_ = args.plan.kept_expiry + list * args.buffer_size;
    ring_expiry_ = args.plan.ring_expiry + list * span_;
    source_ = args.plan.source + list * args.buffer_size;
  }

  void Run() {
    StartPlan();
    for (int64_t row = 0; row < num_rows_; ++row) {
      const int64_t position = first_position_ + row - span_;
      if (position >= 0) Depart(position);
    }
    SaveScores();
  }

 private:
  // As if nothing were kept or displaced.
  void StartPlan() {
    *kept_before_ = *kept_count_;
    std::fill_n(kept_expiry_, *kept_count_, kNeverExpires);
    std::fill_n(source_, args_.buffer_size, kUnchanged);
    const int64_t oldest = std::max<int64_t>(0, first_position_ - span_);
    int64_t index = oldest % span_;
    for (int64_t position = oldest; position < first_position_; ++position) {
      ring_expiry_[index] = position + span_;
      if (++index == span_) index = 0;
    }
    for (int64_t row = 0; row < num_rows_; ++row) {
      args_.plan.chunk_expiry[(first_row_ + row) * heads_ + head_] = first_position_ + row + span_;
    }
  }

  float Score(int64_t position) const {
    if (position < args_.sink_size) return std::numeric_limits<float>::infinity();
    const int64_t row = position + args_.margin - first_position_;
    return row >= 0 ? args_.scores.row<float>(first_row_ + row)[head_]
                    : score_ring_[position % span_ * heads_];
  }

  // The token at `position` leaves the window.
  void Depart(int64_t position) {
    const float score = Score(position);
    if (!(score > 0) || args_.buffer_size == 0) return;
    if (*kept_count_ < args_.buffer_size) {
      Keep(position, score, (*kept_count_)++);
      return;
    }
    if (lowest_ == kNone) {
      lowest_ = HWY_DYNAMIC_DISPATCH(LowestPlace)(kept_score_, kept_position_, *kept_count_);
    }
    if (!(score > kept_score_[lowest_])) return;
    // Queries from this one on see the newcomer in its place.
    *Expiry(lowest_) = position + span_;
    Keep(position, score, lowest_);
  }

  void Keep(int64_t position, float score, int64_t place) {
    kept_score_[place] = score;
    kept_position_[place] = position;
    source_[place] = position;
    lowest_ = kNone;
    *Expiry(place) = kNeverExpires;
  }

  // Where the plan has the expiry of the token that a kept slot holds now.
  int64_t* Expiry(int64_t place) {
    const int64_t position = source_[place];
    if (position == kUnchanged) return kept_expiry_ + place;
    const int64_t row = position - first_position_;
    return row >= 0 ? args_.plan.chunk_expiry + (first_row_ + row) * heads_ + head_
                    : ring_expiry_ + position % span_;
  }

  // The last V scores that are final now. Only after the replay: they take the places of those that
  // it reads.
  void SaveScores() {
    const int64_t end = first_position_ + num_rows_ - args_.margin;
    const int64_t begin = std::max({int64_t{0}, first_position_ - args_.margin, end - span_});
    for (int64_t position = begin; position < end; ++position) {
      const int64_t row = position + args_.margin - first_position_;
      score_ring_[position % span_ * heads_] = args_.scores.row<float>(first_row_ + row)[head_];
    }
  }

  const DeparturesArgs& args_;
  const int64_t heads_;
  const int64_t head_;
  const int64_t span_;            // V
  const int64_t first_row_;       // of the step
  const int64_t num_rows_;        // C
  const int64_t first_position_;  // p0

  float* score_ring_ = nullptr;  // this head's column of [V, Hkv]
  int32_t* kept_count_ = nullptr;
  float* kept_score_ = nullptr;       // [K]
  int64_t* kept_position_ = nullptr;  // [K]
  int32_t* kept_before_ = nullptr;
  int64_t* kept_expiry_ = nullptr;  // [K]
  int64_t* ring_expiry_ = nullptr;  // [V]
  int64_t* source_ = nullptr;       // [K]

  int64_t lowest_ = kNone;  // kept slot that goes next, where known
};

void CheckShapes(const DeparturesArgs& args) {
  WINNOW_CHECK(args.margin >= 0 && args.span > args.margin)
      << "span " << args.span << ", margin " << args.margin;
  WINNOW_CHECK(args.buffer_size >= 0 && args.sink_size >= 0);
  WINNOW_CHECK(args.scores.rank == 2 && args.scores.dim(1) == args.num_kv_heads)
      << args.scores.dim(1) << " vs " << args.num_kv_heads;
}

}  // namespace

void Departures(ThreadPool& pool, const DeparturesArgs& args) {
  CheckShapes(args);
  const int64_t heads = args.num_kv_heads;
  pool.Run(args.batch.num_sequences * heads, [&](int64_t task, int) {
    const int64_t sequence = task / heads;
    if (args.batch.row_offsets[sequence] == args.batch.row_offsets[sequence + 1]) return;
    HeadReplay(args, sequence, task % heads).Run();
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
