#include "kernels/cpu/gated_delta.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/batch.h"
#include "kernels/check.h"
#include "kernels/cpu/gated_delta_task.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gated_delta.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/cpu/gated_delta_chunked-inl.h"
#include "kernels/cpu/gated_delta_recurrent-inl.h"
#include "kernels/cpu/gated_delta_ring-inl.h"

HWY_BEFORE_NAMESPACE();
namespace winnow::cpu::HWY_NAMESPACE {
namespace {

int64_t DeltaScratchFloats(int64_t key_dim, int64_t value_dim, bool chunked) {
  return chunked ? ChunkScratch::Floats(key_dim, value_dim)
                 : RecurrentScratch::Floats(key_dim, hn::Lanes(DeltaTag()));
}

int64_t RingScratchFloats(int64_t key_dim) { return RingEntries::Floats(key_dim); }

}  // namespace
}  // namespace winnow::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace winnow::cpu {
namespace {

HWY_EXPORT(DeltaRecurrent);
HWY_EXPORT(DeltaChunked);
HWY_EXPORT(DeltaScratchFloats);
HWY_EXPORT(DeltaRingToken);
HWY_EXPORT(DeltaRingFold);
HWY_EXPORT(RingScratchFloats);

// Measured (tests/bench/cpu_delta.cc): the chunked form wins from about 10 rows on with keys of 256
// and 20 with keys of 128. With small keys it hardly ever does, since what a chunk costs beside the
// products with S does not shrink with them.
constexpr int64_t kMinChunkedKeyDim = 96;
constexpr int64_t kMinChunkedKeyFloats = 2560;  // rows times Dk

// Columns that a task has at least, and a multiple of which it begins at: whole panels on AVX-512.
constexpr int64_t kTaskColumns = 32;
// Tasks per thread that the step is cut into, so that threads end at about the same time.
constexpr int64_t kTasksPerThread = 2;

// The tasks of one sequence: for each head `num_ranges` ranges of columns.
struct SequenceTasks {
  int64_t sequence = 0;
  int64_t num_rows = 0;
  int64_t num_ranges = 1;
  int64_t first_task = 0;
};

void CheckArgs(const GatedDeltaArgs& args) {
  const int64_t num_tokens = args.batch.num_tokens;
  const int64_t num_key_heads = args.k.dim(1);
  const int64_t num_value_heads = args.v.dim(1);
  for (const TensorView* x : {&args.q, &args.k, &args.v, &args.out, &args.a, &args.b}) {
    WINNOW_CHECK(x->dim(0) == num_tokens) << x->dim(0) << " rows of " << num_tokens;
  }
  WINNOW_CHECK(args.q.rank == 3 && args.k.rank == 3 && args.v.rank == 3 && args.out.rank == 3);
  WINNOW_CHECK(args.q.dim(1) == num_key_heads && args.q.dim(2) == args.k.dim(2));
  WINNOW_CHECK(num_key_heads > 0 && num_value_heads % num_key_heads == 0)
      << num_value_heads << " value heads on " << num_key_heads;
  WINNOW_CHECK(args.out.dim(1) == num_value_heads && args.out.dim(2) == args.v.dim(2));
  WINNOW_CHECK(args.a.dim(1) == num_value_heads && args.b.dim(1) == num_value_heads);
  WINNOW_CHECK(args.state_dtype == DType::kF32) << DTypeName(args.state_dtype);
  if (!args.ring.has_value()) return;
  WINNOW_CHECK(1 <= args.ring->length && args.ring->length <= kMaxDeltaRing) << args.ring->length;
}

bool IsChunked(DeltaForm form, int64_t key_dim, int64_t num_rows) {
  if (form != DeltaForm::kByRows) return form == DeltaForm::kChunked;
  return key_dim >= kMinChunkedKeyDim && num_rows * key_dim >= kMinChunkedKeyFloats;
}

// Long sequences first, cut finely enough that no task is much more than its share of the step.
std::vector<SequenceTasks> PlanTasks(const GatedDeltaArgs& args, int num_threads) {
  std::vector<SequenceTasks> plan;
  for (int64_t s = 0; s < args.batch.num_sequences; ++s) {
    const int64_t num_rows = args.batch.row_offsets[s + 1] - args.batch.row_offsets[s];
    if (num_rows > 0) plan.push_back({.sequence = s, .num_rows = num_rows});
  }
  std::stable_sort(plan.begin(), plan.end(), [](const SequenceTasks& x, const SequenceTasks& y) {
    return x.num_rows > y.num_rows;
  });
  const int64_t num_heads = args.v.dim(1);
  const int64_t max_ranges = std::max<int64_t>(1, args.v.dim(2) / kTaskColumns);
  const int64_t all_rows = args.batch.num_tokens * num_heads;
  int64_t num_tasks = 0;
  for (SequenceTasks& tasks : plan) {
    // Ranges such that num_rows / num_ranges <= all_rows / (kTasksPerThread * num_threads).
    const int64_t wanted =
        num_threads == 1
            ? 1
            : (tasks.num_rows * kTasksPerThread * num_threads + all_rows - 1) / all_rows;
    tasks.num_ranges = std::clamp<int64_t>(wanted, 1, max_ranges);
    tasks.first_task = num_tasks;
    num_tasks += num_heads * tasks.num_ranges;
  }
  return plan;
}

DeltaTask MakeTask(const GatedDeltaArgs& args, const SequenceTasks& tasks, int64_t index) {
  const int64_t value_dim = args.v.dim(2);
  const int64_t range = index % tasks.num_ranges;
  const int64_t width =
      RoundUp((value_dim + tasks.num_ranges - 1) / tasks.num_ranges, kTaskColumns);
  return {.args = &args,
          .first_row = args.batch.row_offsets[tasks.sequence],
          .num_rows = tasks.num_rows,
          .slot = args.batch.slots[tasks.sequence],
          .ring_count = args.ring.has_value() ? args.ring->counts[tasks.sequence] : 0,
          .head = index / tasks.num_ranges,
          .col_begin = std::min(value_dim, range * width),
          .col_end = std::min(value_dim, (range + 1) * width)};
}

// What the ring asks of a task; returns whether that was all.
bool RunRing(ThreadPool& pool, int thread, DeltaTask task) {
  if (!task.args->ring.has_value()) return false;
  task.scratch =
      pool.ThreadScratch(thread, HWY_DYNAMIC_DISPATCH(RingScratchFloats)(task.args->k.dim(2)));
  if (task.num_rows == 1) {
    HWY_DYNAMIC_DISPATCH(DeltaRingToken)(task);
    return true;
  }
  HWY_DYNAMIC_DISPATCH(DeltaRingFold)(task);
  return false;
}

}  // namespace

void GatedDelta(ThreadPool& pool, const GatedDeltaArgs& args) {
  GatedDeltaInForm(pool, args, DeltaForm::kByRows);
}

void GatedDeltaInForm(ThreadPool& pool, const GatedDeltaArgs& args, DeltaForm form) {
  CheckArgs(args);
  const std::vector<SequenceTasks> plan = PlanTasks(args, pool.num_threads());
  if (plan.empty()) return;
  const SequenceTasks& last = plan.back();
  const int64_t num_tasks = last.first_task + args.v.dim(1) * last.num_ranges;
  pool.Run(num_tasks, [&](int64_t index, int thread) {
    const auto next = std::upper_bound(
        plan.begin(), plan.end(), index,
        [](int64_t i, const SequenceTasks& tasks) { return i < tasks.first_task; });
    const SequenceTasks& tasks = *(next - 1);
    DeltaTask task = MakeTask(args, tasks, index - tasks.first_task);
    if (task.col_begin == task.col_end || RunRing(pool, thread, task)) return;
    const bool chunked = IsChunked(form, task.key_dim(), task.num_rows);
    task.scratch = pool.ThreadScratch(
        thread, HWY_DYNAMIC_DISPATCH(DeltaScratchFloats)(args.k.dim(2), args.v.dim(2), chunked));
    if (chunked) {
      HWY_DYNAMIC_DISPATCH(DeltaChunked)(task);
    } else {
      HWY_DYNAMIC_DISPATCH(DeltaRecurrent)(task);
    }
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
