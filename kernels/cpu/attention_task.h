// How attention is cut into tasks, and what tasks and vector kernels share. Private to attention.cc
// and its kernels.
//
// Queries of one sequence that share a kv head form lanes: lane l is row l / G of the sequence and
// query head kv_head * G + l % G, with G = Hq / Hkv. A task computes some lanes against a range of
// the sequence's keys (KeySource's indices). The cut of the keys into ranges and blocks depends on
// the sequence alone, and lanes do not touch each other; so the cut of the lanes is free to follow
// the number of threads.
#ifndef WINNOW_KERNELS_CPU_ATTENTION_TASK_H_
#define WINNOW_KERNELS_CPU_ATTENTION_TASK_H_

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/key_source.h"
#include "kernels/ops/attention.h"

namespace winnow::cpu {

// Lanes of one task: the queries and sums of the most stay in the second-level cache for head dims
// up to 256. Multiples of every tile's width, so that tiles are the same in any cut.
inline constexpr int kMaxTaskLanes = 256;
inline constexpr int kMinTaskLanes = 32;
// Keys between two updates of the running maximum.
inline constexpr int kKeyBlock = 64;
// With at most so many lanes the vectors run along D (attention_rows-inl.h), else along the lanes
// (attention_tile-inl.h).
inline constexpr int kMaxRowLanes = 8;
// With at most so many lanes the keys are split into segments, so that a few sequences still use
// all threads.
inline constexpr int kMaxSplitLanes = 32;
inline constexpr int64_t kMinSegmentKeys = 512;
inline constexpr int64_t kMaxSegments = 32;

// The largest score so far starts here: finite, so that differences from -infinity (invisible) stay
// defined.
inline constexpr float kLowestScore = -3e38f;

struct AttentionTask {
  int64_t sequence = 0;
  int64_t head = 0;  // kv head
  int64_t all_lanes =
      0;  // of the sequence and head; decides which kernel computes them, whatever the cut
  int64_t lane_begin = 0;
  int num_lanes = 0;
  int64_t key_begin = 0;
  int64_t key_end = 0;
  // Null: the task has all keys and writes `out`. Else its part: per lane the weighted values [D],
  // largest score (times log2 e) and sum of weights.
  float* partial = nullptr;
};

inline int64_t PartialStride(int64_t head_dim) { return head_dim + 2; }

// What lane `lane` of a task stands for.
struct LaneGeometry {
  LaneGeometry(const AttentionArgs& args, const AttentionTask& task)
      : group(args.q.dim(1) / args.pages.num_kv_heads),
        first_row(args.batch.row_offsets[task.sequence]),
        first_head(task.head * group),
        lane_begin(task.lane_begin) {}

  // Row within the sequence.
  int32_t Row(int lane) const { return static_cast<int32_t>((lane_begin + lane) / group); }
  // Offset of a lane's [D] vector from the start of row `Row(lane)` of q and out.
  int64_t HeadOffset(int lane, int64_t head_dim) const {
    return (first_head + (lane_begin + lane) % group) * head_dim;
  }
  const float* Query(const AttentionArgs& args, int lane) const {
    return args.q.row<float>(first_row + Row(lane)) + HeadOffset(lane, args.pages.head_dim);
  }
  float* Out(const AttentionArgs& args, int lane) const {
    return args.out.row<float>(first_row + Row(lane)) + HeadOffset(lane, args.pages.head_dim);
  }

  int64_t group;      // G
  int64_t first_row;  // of the step
  int64_t first_head;
  int64_t lane_begin;
};

// Floats of scratch that a task needs; no target has more than 32 lanes in a tile (two vectors of
// 16).
inline int64_t AttentionScratchFloats(int64_t head_dim, int max_lanes) {
  constexpr int64_t kTileLanes = kMinTaskLanes;
  constexpr int64_t kPadding = 64;
  if (max_lanes <= kMaxRowLanes) {
    return 2 * kMaxRowLanes * (head_dim + kPadding) + 5 * 4 * kKeyBlock + kPadding;
  }
  const int64_t lanes = (max_lanes + kTileLanes - 1) / kTileLanes * kTileLanes;
  return lanes * (2 * head_dim + 3) + kKeyBlock * (kTileLanes + 2 * head_dim) + kPadding;
}

}  // namespace winnow::cpu

#endif  // WINNOW_KERNELS_CPU_ATTENTION_TASK_H_
