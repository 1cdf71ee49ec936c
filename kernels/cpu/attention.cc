#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/attention_task.h"
#include "kernels/cpu/key_source.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/attention_rows-inl.h"
#include "kernels/cpu/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {

void RunTask(const AttentionArgs& args, const AttentionTask& task, float* scratch) {
  if (task.all_lanes <= kMaxRowLanes) return AttendRows(args, task, scratch);
  const int64_t vector_lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  return task.all_lanes <= vector_lanes ? AttendTiles<1>(args, task, scratch)
                                        : AttendTiles<2>(args, task, scratch);
}

// The weight of a partial result whose largest score is `max` when the largest of all is `all_max`.
float Decay(float max, float all_max) {
  const hn::ScalableTag<float> d;
  return hn::GetLane(Exp2Flushed(d, hn::Set(d, max - all_max)));
}

}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::cpu {

HWY_EXPORT(RunTask);
HWY_EXPORT(Decay);

namespace {

// Partial results of one (sequence, kv head) whose keys were split.
struct Split {
  int64_t first_task = 0;
  int64_t num_tasks = 0;
};

struct Plan {
  std::vector<AttentionTask> tasks;
  std::vector<Split> splits;
  int64_t partial_floats = 0;
  int max_lanes = 0;
};

void CheckShapes(const AttentionArgs& args) {
  const LayerPages& pages = args.pages;
  WINNOW_CHECK(pages.dtype == DType::kF32) << DTypeName(pages.dtype);
  WINNOW_CHECK(args.q.rank == 3 && args.k.rank == 3 && args.v.rank == 3 && args.out.rank == 3);
  WINNOW_CHECK(args.k.dim(1) == pages.num_kv_heads && args.v.dim(1) == pages.num_kv_heads)
      << args.k.dim(1) << " and " << args.v.dim(1) << " vs " << pages.num_kv_heads;
  WINNOW_CHECK(args.q.dim(1) % pages.num_kv_heads == 0 && args.out.dim(1) == args.q.dim(1))
      << args.q.dim(1) << " query heads, " << pages.num_kv_heads << " kv heads";
  for (const TensorView& x : {args.q, args.k, args.v, args.out}) {
    WINNOW_CHECK(x.dim(2) == pages.head_dim) << x.dim(2) << " vs " << pages.head_dim;
    WINNOW_CHECK(x.dim(0) >= args.batch.num_tokens) << x.dim(0) << " vs " << args.batch.num_tokens;
  }
  WINNOW_CHECK(args.span > 0 && pages.ring_tokens > 0 && pages.page_tokens > 0);
  if (args.plan != nullptr) {
    WINNOW_CHECK(args.span <= pages.ring_tokens) << args.span << " vs " << pages.ring_tokens;
  }
}

int64_t NumRows(const AttentionArgs& args, int64_t sequence) {
  return args.batch.row_offsets[sequence + 1] - args.batch.row_offsets[sequence];
}

// Lanes of one kv head.
int64_t NumLanes(const AttentionArgs& args, int64_t sequence) {
  return NumRows(args, sequence) * (args.q.dim(1) / args.pages.num_kv_heads);
}

// The more lanes a task has, the fewer times keys are read; but every thread should get some tasks.
int64_t ChooseTaskLanes(const AttentionArgs& args, int num_threads) {
  int64_t task_lanes = kMaxTaskLanes;
  for (; task_lanes > kMinTaskLanes; task_lanes /= 2) {
    int64_t num_tasks = 0;
    for (int64_t b = 0; b < args.batch.num_sequences; ++b) {
      num_tasks += (NumLanes(args, b) + task_lanes - 1) / task_lanes * args.pages.num_kv_heads;
    }
    if (num_tasks >= 4 * num_threads) break;
  }
  return task_lanes;
}

void AddTasks(const AttentionArgs& args, int64_t sequence, int64_t head, int64_t task_lanes,
              Plan* plan) {
  const int64_t lanes = NumLanes(args, sequence);
  const int64_t num_keys = KeySource(args, sequence, head).size();
  int64_t segment = num_keys;
  if (lanes <= kMaxSplitLanes && num_keys > kMinSegmentKeys) {
    const int64_t even = (num_keys + kMaxSegments - 1) / kMaxSegments;
    segment = std::max(kMinSegmentKeys, (even + kKeyBlock - 1) / kKeyBlock * kKeyBlock);
  }
  if (segment < num_keys) {
    plan->splits.push_back(
        {static_cast<int64_t>(plan->tasks.size()), (num_keys + segment - 1) / segment});
  }
  for (int64_t lane = 0; lane < lanes; lane += task_lanes) {
    AttentionTask task;
    task.sequence = sequence;
    task.head = head;
    task.all_lanes = lanes;
    task.lane_begin = lane;
    task.num_lanes = static_cast<int>(std::min(task_lanes, lanes - lane));
    plan->max_lanes = std::max(plan->max_lanes, task.num_lanes);
    for (int64_t key = 0; key < num_keys; key += segment) {
      task.key_begin = key;
      task.key_end = std::min(num_keys, key + segment);
      if (segment < num_keys)
        plan->partial_floats += task.num_lanes * PartialStride(args.pages.head_dim);
      plan->tasks.push_back(task);
    }
  }
}

// Sequences with many rows first: their tasks are the longest, and threads take tasks in order.
Plan MakePlan(const AttentionArgs& args, int num_threads) {
  Plan plan;
  const int64_t task_lanes = ChooseTaskLanes(args, num_threads);
  for (const bool single : {false, true}) {
    for (int64_t b = 0; b < args.batch.num_sequences; ++b) {
      if (NumRows(args, b) == 0 || (NumRows(args, b) == 1) != single) continue;
      for (int64_t h = 0; h < args.pages.num_kv_heads; ++h) AddTasks(args, b, h, task_lanes, &plan);
    }
  }
  return plan;
}

void PlacePartials(const Plan& plan, int64_t head_dim, float* partials,
                   std::vector<AttentionTask>* tasks) {
  for (const Split& split : plan.splits) {
    for (int64_t i = split.first_task; i < split.first_task + split.num_tasks; ++i) {
      AttentionTask& task = (*tasks)[i];
      task.partial = partials;
      partials += task.num_lanes * PartialStride(head_dim);
    }
  }
}

void CombineLane(const AttentionArgs& args, const AttentionTask* tasks, int64_t num_tasks,
                 int lane) {
  const int64_t head_dim = args.pages.head_dim;
  const int64_t offset = lane * PartialStride(head_dim);
  float max = kLowestScore;
  for (int64_t i = 0; i < num_tasks; ++i) max = std::max(max, tasks[i].partial[offset + head_dim]);
  float decay[kMaxSegments];
  float sum = 0;
  for (int64_t i = 0; i < num_tasks; ++i) {
    const float* part = tasks[i].partial + offset;
    decay[i] = HWY_DYNAMIC_DISPATCH(Decay)(part[head_dim], max);
    sum += part[head_dim + 1] * decay[i];
  }
  float* out = LaneGeometry(args, tasks[0]).Out(args, lane);
  for (int64_t d = 0; d < head_dim; ++d) out[d] = 0;
  for (int64_t i = 0; i < num_tasks; ++i) {
    const float* part = tasks[i].partial + offset;
    const float factor = decay[i] / sum;
    for (int64_t d = 0; d < head_dim; ++d) out[d] += part[d] * factor;
  }
}

}  // namespace

void Attention(ThreadPool& pool, const AttentionArgs& args) {
  CheckShapes(args);
  Plan plan = MakePlan(args, pool.num_threads());
  if (plan.tasks.empty()) return;
  const int64_t head_dim = args.pages.head_dim;
  PlacePartials(plan, head_dim, pool.SharedScratch(plan.partial_floats), &plan.tasks);
  const int64_t scratch_floats = AttentionScratchFloats(head_dim, plan.max_lanes);
  const auto run_task = HWY_DYNAMIC_DISPATCH(RunTask);
  pool.Run(static_cast<int64_t>(plan.tasks.size()), [&](int64_t i, int thread) {
    run_task(args, plan.tasks[i], pool.ThreadScratch(thread, scratch_floats));
  });
  if (plan.splits.empty()) return;
  pool.Run(static_cast<int64_t>(plan.splits.size()), [&](int64_t i, int) {
    const Split& split = plan.splits[i];
    const AttentionTask* tasks = &plan.tasks[split.first_task];
    for (int lane = 0; lane < tasks[0].num_lanes; ++lane) {
      CombineLane(args, tasks, split.num_tasks, lane);
    }
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
