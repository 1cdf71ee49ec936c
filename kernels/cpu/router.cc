#include "kernels/cpu/router.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/router_conv.h"
#include "kernels/ops/position_score.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/router.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/router_conv-inl.h"

#if HWY_ONCE
namespace winnow::cpu {

HWY_EXPORT(Convolve);
HWY_EXPORT(Dot);

namespace {

// Single tokens whose convolutions are computed together.
constexpr int64_t kMaxTogether = 16;

// One head of consecutive sequences that have the same number of rows: one sequence, or single
// tokens.
struct Task {
  int64_t head = 0;
  int64_t first_sequence = 0;
  int64_t num_sequences = 0;
  int64_t rows_each = 0;  // C
};

int64_t Group(const RouterWeights& weights, int64_t head) { return weights.groups == 1 ? 0 : head; }

// A task's inputs of one convolution: per sequence [history + C, in], one after the other.
int64_t InputFloats(const RouterConv& conv, int64_t num_sequences, int64_t rows_each) {
  return num_sequences * (conv.history() + rows_each) * conv.in;
}

void CheckShapes(const RouterScoresArgs& args) {
  WINNOW_CHECK(args.weights != nullptr && !args.weights->convs.empty())
      << "a router needs a convolution";
  const int64_t heads = args.k.dim(1);
  WINNOW_CHECK(args.k.rank == 3 && args.v.rank == 3 && args.v.dim(1) == heads);
  WINNOW_CHECK(args.scores.rank == 2 && args.scores.dim(1) == heads)
      << args.scores.dim(1) << " vs " << heads;
  WINNOW_CHECK(args.weights->groups == 1 || args.weights->groups == heads)
      << args.weights->groups << " groups, " << heads << " heads";
  WINNOW_CHECK(args.history.size() == args.weights->convs.size());
  int64_t in = args.k.dim(2) + args.v.dim(2);
  for (const RouterConv& conv : args.weights->convs) {
    WINNOW_CHECK(conv.in == in) << conv.in << " inputs, expected " << in;
    WINNOW_CHECK(conv.out > 0 && conv.size > 0 && conv.dilation > 0);
    in = conv.out;
  }
}

// Runs one head's stack of convolutions for a task. `x` and `y` take turns as input and output.
class HeadStream {
 public:
  HeadStream(const RouterScoresArgs& args, const Task& task, float* x, float* y)
      : args_(args), weights_(*args.weights), task_(task), x_(x), y_(y) {}

  void Run() {
    LoadInputs();
    int64_t delay = 0;
    for (size_t i = 0; i < weights_.convs.size(); ++i) {
      LoadHistory(i);
      delay += weights_.convs[i].right();
      RunConv(i, delay);
      SaveHistory(i);
      std::swap(x_, y_);
    }
    Project(delay);
  }

 private:
  int64_t Row(int64_t s) const { return args_.batch.row_offsets[task_.first_sequence + s]; }
  int64_t Slot(int64_t s) const { return args_.batch.slots[task_.first_sequence + s]; }
  int64_t FirstPosition(int64_t s) const { return args_.batch.positions[Row(s)]; }
  int64_t HistoryOf(size_t i) const {
    return i < weights_.convs.size() ? weights_.convs[i].history() : 0;
  }
  // Floats of one sequence's rows in the input of conv i, history included.
  int64_t SequenceStride(size_t i, int64_t channels) const {
    return (HistoryOf(i) + task_.rows_each) * channels;
  }

  // [k, v] of each row behind the room for the first convolution's history.
  void LoadInputs() {
    const int64_t k_dim = args_.k.dim(2);
    const int64_t v_dim = args_.v.dim(2);
    const int64_t in = k_dim + v_dim;
    for (int64_t s = 0; s < task_.num_sequences; ++s) {
      float* to = x_ + s * SequenceStride(0, in) + HistoryOf(0) * in;
      for (int64_t r = 0; r < task_.rows_each; ++r, to += in) {
        const float* k = args_.k.row<float>(Row(s) + r) + task_.head * k_dim;
        const float* v = args_.v.row<float>(Row(s) + r) + task_.head * v_dim;
        std::memcpy(to, k, static_cast<size_t>(k_dim) * sizeof(float));
        std::memcpy(to + k_dim, v, static_cast<size_t>(v_dim) * sizeof(float));
      }
    }
  }

  void LoadHistory(size_t i) {
    const int64_t in = weights_.convs[i].in;
    for (int64_t s = 0; s < task_.num_sequences; ++s) {
      float* to = x_ + s * SequenceStride(i, in);
      for (int64_t h = 0; h < HistoryOf(i); ++h) {
        std::memcpy(to + h * in, HistoryRow(i, s, h), static_cast<size_t>(in) * sizeof(float));
      }
    }
  }

  // The last inputs, of this step and where it is short of before, become the history.
  void SaveHistory(size_t i) {
    const int64_t in = weights_.convs[i].in;
    for (int64_t s = 0; s < task_.num_sequences; ++s) {
      const float* from = x_ + s * SequenceStride(i, in) + task_.rows_each * in;
      for (int64_t h = 0; h < HistoryOf(i); ++h) {
        std::memcpy(HistoryRow(i, s, h), from + h * in, static_cast<size_t>(in) * sizeof(float));
      }
    }
  }

  float* HistoryRow(size_t i, int64_t s, int64_t h) const {
    const int64_t heads = args_.k.dim(1);
    return args_.history[i].at<float>(Slot(s)) + (h * heads + task_.head) * weights_.convs[i].in;
  }

  // Outputs of conv i stand for positions `delay` before their rows'; before position 0 they are 0.
  void RunConv(size_t i, int64_t delay) {
    const RouterConv& conv = weights_.convs[i];
    const int64_t group = Group(weights_, task_.head);
    const int64_t next_history = HistoryOf(i + 1);
    // Single tokens of several sequences are rows that lie one sequence apart.
    const bool together = task_.num_sequences > 1;
    ConvRows rows;
    rows.x = x_;
    rows.x_stride = together ? SequenceStride(i, conv.in) : conv.in;
    rows.tap_stride = conv.dilation * conv.in;
    rows.weight = conv.weight + group * conv.size * conv.in * conv.out;
    rows.bias = conv.bias + group * conv.out;
    rows.size = conv.size;
    rows.in = conv.in;
    rows.out = conv.out;
    rows.y = y_ + next_history * conv.out;
    rows.y_stride = together ? SequenceStride(i + 1, conv.out) : conv.out;
    HWY_DYNAMIC_DISPATCH(Convolve)(rows, task_.num_sequences * task_.rows_each);

    for (int64_t s = 0; s < task_.num_sequences; ++s) {
      const int64_t before_start =
          std::min(task_.rows_each, std::max<int64_t>(0, delay - FirstPosition(s)));
      std::fill_n(rows.y + s * SequenceStride(i + 1, conv.out), before_start * conv.out, 0.0f);
    }
  }

  // x_ holds the last convolution's outputs.
  void Project(int64_t margin) {
    const int64_t channels = weights_.convs.back().out;
    const int64_t group = Group(weights_, task_.head);
    const float* weight = weights_.proj_weight + group * channels;
    const float bias = weights_.proj_bias[group];
    for (int64_t s = 0; s < task_.num_sequences; ++s) {
      for (int64_t r = 0; r < task_.rows_each; ++r) {
        const float* x = x_ + (s * task_.rows_each + r) * channels;
        const float z = HWY_DYNAMIC_DISPATCH(Dot)(x, weight, channels) + bias;
        const bool exists = FirstPosition(s) + r >= margin;
        args_.scores.row<float>(Row(s) + r)[task_.head] = exists ? Score(z) : 0.0f;
      }
    }
  }

  // sigmoid(z) - 1/2 as tanh(z / 2) / 2, which keeps the sign of the smallest z.
  float Score(float z) const {
    switch (weights_.method) {
      case RoutingMethod::kSigmoid:
        return static_cast<float>(0.5 * std::tanh(0.5 * static_cast<double>(z)));
      case RoutingMethod::kRelu:
        return z > 0 || std::isnan(z) ? z : 0.0f;
      case RoutingMethod::kRecency:
      case RoutingMethod::kRandom:
        break;  // PositionScores
    }
    WINNOW_CHECK(false) << "routing method " << static_cast<int>(weights_.method);
    return 0;
  }

  const RouterScoresArgs& args_;
  const RouterWeights& weights_;
  const Task& task_;
  float* x_;
  float* y_;
};

std::vector<Task> MakeTasks(const RouterScoresArgs& args) {
  std::vector<Task> tasks;
  const RaggedBatch& batch = args.batch;
  const auto num_rows = [&](int64_t b) { return batch.row_offsets[b + 1] - batch.row_offsets[b]; };
  const int64_t heads = args.k.dim(1);
  for (int64_t b = 0; b < batch.num_sequences;) {
    int64_t end = b + 1;
    if (num_rows(b) == 1) {
      while (end < batch.num_sequences && end - b < kMaxTogether && num_rows(end) == 1) ++end;
    }
    for (int64_t h = 0; h < heads && num_rows(b) > 0; ++h)
      tasks.push_back({h, b, end - b, num_rows(b)});
    b = end;
  }
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task& a, const Task& b) { return a.rows_each > b.rows_each; });
  return tasks;
}

// Floats of one of a task's two buffers.
int64_t BufferFloats(const RouterWeights& weights, const std::vector<Task>& tasks) {
  int64_t most = 0;
  for (const Task& task : tasks) {
    for (const RouterConv& conv : weights.convs) {
      most = std::max(most, InputFloats(conv, task.num_sequences, task.rows_each));
    }
    most = std::max(most, task.num_sequences * task.rows_each * weights.convs.back().out);
  }
  return (most + 63) / 64 * 64;
}

// The scores of RoutingMethods that look at the position only.
void PositionScores(const RouterScoresArgs& args) {
  const int64_t margin = args.weights->margin();
  for (int64_t t = 0; t < args.batch.num_tokens; ++t) {
    const int64_t position = args.batch.positions[t] - margin;
    float* scores = args.scores.row<float>(t);
    for (int64_t h = 0; h < args.k.dim(1); ++h) {
      scores[h] = position >= 0 ? PositionScore(*args.weights, h, position) : 0.0f;
    }
  }
}

}  // namespace

void RouterScores(ThreadPool& pool, const RouterScoresArgs& args) {
  CheckShapes(args);
  if (ScoresPosition(args.weights->method)) return PositionScores(args);
  const std::vector<Task> tasks = MakeTasks(args);
  if (tasks.empty()) return;
  const int64_t buffer_floats = BufferFloats(*args.weights, tasks);
  pool.Run(static_cast<int64_t>(tasks.size()), [&](int64_t i, int thread) {
    float* x = pool.ThreadScratch(thread, 2 * buffer_floats);
    HeadStream(args, tasks[i], x, x + buffer_floats).Run();
  });
}

}  // namespace winnow::cpu
#endif  // HWY_ONCE
