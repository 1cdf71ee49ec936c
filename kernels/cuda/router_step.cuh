// The block of router_step.cu: one head's filters in shared memory, and teams of threads that take
// sequences through all convolutions with them.
//
// Shared memory, in floats; everything begins at a multiple of four:
//   filters: per convolution weight [size, in, out] and bias [out], then the projection's [last
//            convolution's out]
//   per team: histories [buffers, kRows, history_floats]: of each sequence all convolutions'
//             own rows [kRows, own_floats]: of each sequence [k, v], then every convolution's
//             outputs, which are the next one's inputs
//             partial sums [splits, kRows, out] of the convolution at hand
#ifndef WINNOW_KERNELS_CUDA_ROUTER_STEP_CUH_
#define WINNOW_KERNELS_CUDA_ROUTER_STEP_CUH_

#include <cstdint>

#include "kernels/batch.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/pages.cuh"
#include "kernels/cuda/sm90.cuh"
#include "kernels/cuda/warp_instructions.cuh"

namespace winnow::cuda {

inline constexpr int kRouterTeam = 256;  // threads
inline constexpr int kMaxRouterTeams = 2;
inline constexpr int kMaxRouterConvs = 4;

struct RouterStepConv {
  int in, out, size, dilation;  // in and out: multiples of 4
  // Threads (split, four outputs): split s adds up inputs 4 s .. 4 s + 3 and every 4 splits on.
  int splits;
  int64_t delay;        // of the output: it stands for the position `delay` before the row's own
  const float* weight;  // [groups, size, in, out]
  const float* bias;    // [groups, out]
  SlotField history;    // [dilation * (size - 1), Hkv, in]
  // Places in shared memory: among the filters, in a sequence's histories, in its own row.
  int weight_at, bias_at, history_at, input_at, output_at;

  __host__ __device__ int history_floats() const { return dilation * (size - 1) * in; }
  __host__ __device__ int weight_floats() const { return size * in * out; }
};

struct RouterStepParams {
  RaggedBatch batch;  // every sequence has one row, that of its own index
  const void* k;
  const void* v;
  int64_t k_stride, v_stride;
  int k_dim;
  int num_heads, num_groups, num_convs;
  RouterStepConv convs[kMaxRouterConvs];
  const float* proj_weight;
  const float* proj_bias;
  bool sigmoid;
  float* scores;
  int64_t scores_stride;
  // Places and sizes in shared memory.
  int proj_at, filter_floats, history_floats, own_floats, team_floats;
  int buffers;  // of histories: 2 where a team has several groups of sequences

  __device__ int group() const { return num_groups == 1 ? 0 : blockIdx.y; }
  __device__ const RouterStepConv& last_conv() const { return convs[num_convs - 1]; }
};

// To shared memory with one access; an assignment becomes four.
__device__ inline void StoreFour(const float4& x, float* to) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(SharedAddress(to)), "f"(x.x),
               "f"(x.y), "f"(x.z), "f"(x.w)
               : "memory");
}

// One thread: begins to copy the head's filters. filled[i] completes with convolution i's, the last
// one with the projection's too.
__device__ inline void FillFilters(const RouterStepParams& p, float* shared,
                                   SharedBarrier* filled) {
#pragma unroll 1
  for (int i = 0; i < p.num_convs; ++i) filled[i].Init(1);
  FenceBarrierInit();
  const auto copy = [&](const float* from, int floats, int at, const SharedBarrier& barrier) {
    CopyBytes(from + int64_t{p.group()} * floats, floats * sizeof(float),
              SharedAddress(shared + at), barrier);
  };
#pragma unroll 1
  for (int i = 0; i < p.num_convs; ++i) {
    const RouterStepConv& conv = p.convs[i];
    const bool last = i + 1 == p.num_convs;
    const int floats = conv.weight_floats() + conv.out + (last ? conv.out : 0);
    filled[i].ArriveExpecting(floats * sizeof(float));
    copy(conv.weight, conv.weight_floats(), conv.weight_at, filled[i]);
    copy(conv.bias, conv.out, conv.bias_at, filled[i]);
    if (last) copy(p.proj_weight, conv.out, p.proj_at, filled[i]);
  }
}

// A team of kRouterTeam threads, whole warps. It takes kRows sequences at a time, reads every
// filter once for all of them, and copies the next ones' histories meanwhile. What a thread adds
// up, and in which order, depends on the convolution's shape only.
template <int kRows, typename T>
class RouterTeam {
 public:
  // `filled`: of FillFilters; `positions`: [2, kRows] of this team.
  __device__ RouterTeam(const RouterStepParams& p, float* shared, SharedBarrier* filled,
                        int64_t* positions)
      : p_(p),
        shared_(shared),
        filled_(filled),
        positions_(positions),
        team_(threadIdx.x / kRouterTeam),
        thread_(threadIdx.x % kRouterTeam),
        head_(blockIdx.y),
        histories_(p.filter_floats + team_ * p.team_floats),
        own_(histories_ + p.buffers * kRows * p.history_floats),
        partials_(own_ + kRows * p.own_floats),
        proj_bias_(p.proj_bias[p.group()]) {}

  __device__ void Run() const {
    const int teams = gridDim.x * (blockDim.x / kRouterTeam);
    Rows rows = RowsFrom((team_ * gridDim.x + blockIdx.x) * kRows, 0);
    CopyHistories(rows);
    while (rows.count > 0) {
      const Rows next = RowsFrom(rows.first + teams * kRows, 1 - rows.buffer);
      LoadOwn(rows);
      CopiesDone<0>();
      Sync();
      CopyHistories(next);
      for (int i = 0; i < p_.num_convs; ++i) Convolve(i, rows);
      for (int r = thread_ / kWarpSize; r < rows.count; r += kRouterTeam / kWarpSize) {
        Project(rows, r);
      }
      rows = next;
    }
  }

 private:
  struct Rows {
    int first, count;  // none: count <= 0
    int buffer;        // of their histories and positions
    int slots[kRows];
  };

  __device__ Rows RowsFrom(int first, int buffer) const {
    Rows rows = {first, min(kRows, static_cast<int>(p_.batch.num_sequences) - first), buffer};
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r < rows.count) rows.slots[r] = p_.batch.slots[first + r];
    }
    return rows;
  }
  __device__ void Sync() const { NamedBarrier(1 + team_, kRouterTeam); }
  __device__ int Histories(const Rows& rows) const {
    return histories_ + rows.buffer * kRows * p_.history_floats;
  }
  __device__ int64_t* Positions(const Rows& rows) const { return positions_ + rows.buffer * kRows; }
  __device__ float4& Four(int at) const { return *reinterpret_cast<float4*>(shared_ + at); }

  // Where the slot has element `at` of this head's [history rows, in].
  __device__ float* HistoryAt(const RouterStepConv& conv, int slot, int at) const {
    const int h = at / conv.in;
    return FieldAt<float>(conv.history, slot) + (int64_t{h} * p_.num_heads + head_) * conv.in +
           (at - h * conv.in);
  }

  __device__ void CopyHistories(const Rows& rows) const {
    for (int i = 0; i < p_.num_convs; ++i) {
      const RouterStepConv& conv = p_.convs[i];
      const int to = Histories(rows) + conv.history_at;
#pragma unroll 1
      for (int at = 4 * thread_; at < conv.history_floats(); at += 4 * kRouterTeam) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (r >= rows.count) break;
          const float* from = HistoryAt(conv, rows.slots[r], at);
          CopyAsync(SharedAddress(shared_ + to + r * p_.history_floats + at), from, from);
        }
      }
    }
    CommitCopies();
  }

  // Positions, and [k, v]. All rows' elements are asked for at once.
  __device__ void LoadOwn(const Rows& rows) const {
    int64_t position = 0;
    if (thread_ < rows.count) position = p_.batch.positions[rows.first + thread_];
    const RouterStepConv& conv = p_.convs[0];
    const int v_dim = conv.in - p_.k_dim;
#pragma unroll 1
    for (int c = thread_; c < conv.in; c += kRouterTeam) {
      const bool key = c < p_.k_dim;
      const T* from = key ? static_cast<const T*>(p_.k) + head_ * p_.k_dim + c
                          : static_cast<const T*>(p_.v) + head_ * v_dim + c - p_.k_dim;
      const int64_t stride = key ? p_.k_stride : p_.v_stride;
      float x[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r < rows.count) x[r] = AsFloat(from[(rows.first + r) * stride]);
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r < rows.count) shared_[own_ + r * p_.own_floats + conv.input_at + c] = x[r];
      }
    }
    if (thread_ < rows.count) Positions(rows)[thread_] = position;
  }

  // With the last one, no thread will need the histories any more once all have passed.
  __device__ void Convolve(int i, const Rows& rows) const {
    filled_[i].Wait(0);
    AddUp(p_.convs[i], rows);
    Sync();
    Finish(p_.convs[i], rows);
    if (i + 1 == p_.num_convs) SaveHistories(rows);
    Sync();
  }

  // The thread's partial sums. Rows beyond rows.count come out as anything.
  __device__ void AddUp(const RouterStepConv& conv, const Rows& rows) const {
    const int split = 4 * thread_ / conv.out;
    const int out = 4 * thread_ - split * conv.out;
    if (split >= conv.splits) return;
    float4 sums[kRows] = {};
    int tap = 0, channel = 4 * split;
    int weight = conv.weight_at + channel * conv.out + out;
    for (;;) {
      for (; channel >= conv.in; channel -= conv.in) ++tap;
      if (tap >= conv.size) break;
      const bool own = tap + 1 == conv.size;
      const int input = own ? own_ + conv.input_at
                            : Histories(rows) + conv.history_at + tap * conv.dilation * conv.in;
      AddFour(weight, conv.out, input + channel, own ? p_.own_floats : p_.history_floats, sums);
      channel += 4 * conv.splits;
      weight += 4 * conv.splits * conv.out;
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      StoreFour(sums[r], shared_ + partials_ + (split * kRows + r) * conv.out + out);
    }
  }

  // Four inputs of every row, `stride` apart, times their weights for four outputs.
  __device__ void AddFour(int weight, int num_outs, int input, int stride,
                          float4 (&sums)[kRows]) const {
    float4 w[4], x[kRows];
#pragma unroll
    for (int u = 0; u < 4; ++u) w[u] = Four(weight + u * num_outs);
#pragma unroll
    for (int r = 0; r < kRows; ++r) x[r] = Four(input + r * stride);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      AddScaled(x[r].x, w[0], sums[r]);
      AddScaled(x[r].y, w[1], sums[r]);
      AddScaled(x[r].z, w[2], sums[r]);
      AddScaled(x[r].w, w[3], sums[r]);
    }
  }
  __device__ static void AddScaled(float x, const float4& w, float4& sum) {
    sum.x = fmaf(x, w.x, sum.x);
    sum.y = fmaf(x, w.y, sum.y);
    sum.z = fmaf(x, w.z, sum.z);
    sum.w = fmaf(x, w.w, sum.w);
  }

  // The outputs, from all threads' partial sums.
  __device__ void Finish(const RouterStepConv& conv, const Rows& rows) const {
#pragma unroll 1
    for (int j = thread_; j < rows.count * conv.out; j += kRouterTeam) {
      const int r = j / conv.out;
      const int out = j - r * conv.out;
      const float sum = SumOf(partials_ + j, conv.splits, kRows * conv.out);
      shared_[own_ + r * p_.own_floats + conv.output_at + out] =
          Positions(rows)[r] >= conv.delay ? SiluOf(shared_[conv.bias_at + out] + sum) : 0.0f;
    }
  }

  // Four sums, so that additions need not wait for each other.
  __device__ float SumOf(int at, int count, int stride) const {
    float sums[4] = {};
#pragma unroll 2
    for (; count >= 4; count -= 4, at += 4 * stride) {
#pragma unroll
      for (int u = 0; u < 4; ++u) sums[u] += shared_[at + u * stride];
    }
#pragma unroll 1
    for (; count > 0; --count, at += stride) sums[0] += shared_[at];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }

  // All but the oldest row, and the sequence's own. From the last thread on: the first are busy
  // with the last outputs.
  __device__ void SaveHistories(const Rows& rows) const {
    for (int i = 0; i < p_.num_convs; ++i) {
      const RouterStepConv& conv = p_.convs[i];
      const int old = Histories(rows) + conv.history_at + conv.in;
      const int own = own_ + conv.input_at + conv.in - conv.history_floats();
#pragma unroll 1
      for (int at = 4 * (kRouterTeam - 1 - thread_); at < conv.history_floats();
           at += 4 * kRouterTeam) {
        const bool newest = at + conv.in >= conv.history_floats();
        const int from = (newest ? own : old) + at;
        const int stride = newest ? p_.own_floats : p_.history_floats;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (r >= rows.count) break;
          *reinterpret_cast<float4*>(HistoryAt(conv, rows.slots[r], at)) = Four(from + r * stride);
        }
      }
    }
  }

  // One warp.
  __device__ void Project(const Rows& rows, int r) const {
    const RouterStepConv& last = p_.last_conv();
    const int lane = threadIdx.x % kWarpSize;
    float sum = 0;
#pragma unroll 1
    for (int c = lane; c < last.out; c += kWarpSize) {
      sum = fmaf(shared_[own_ + r * p_.own_floats + last.output_at + c], shared_[p_.proj_at + c],
                 sum);
    }
    const float z = WarpSum(sum) + proj_bias_;
    if (lane != 0) return;
    // sigmoid(z) - 1/2 as tanh(z / 2) / 2, which keeps the sign of the smallest z.
    const float score = p_.sigmoid ? static_cast<float>(0.5 * tanh(0.5 * static_cast<double>(z)))
                                   : (z > 0 || isnan(z) ? z : 0.0f);
    p_.scores[(rows.first + r) * p_.scores_stride + head_] =
        Positions(rows)[r] >= last.delay ? score : 0.0f;
  }

  const RouterStepParams& p_;
  float* shared_;
  SharedBarrier* filled_;
  int64_t* positions_;
  const int team_, thread_, head_;
  const int histories_, own_, partials_;  // places in shared memory
  const float proj_bias_;
};

}  // namespace winnow::cuda

#endif  // WINNOW_KERNELS_CUDA_ROUTER_STEP_CUH_
